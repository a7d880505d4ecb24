/** Constants of netconduit's wire format, see PROTOCOL.md. */

/** `CNDT`, big-endian. */
export const MAGIC = 0x434e4454;
/** Protocol version 1.0. */
export const VERSION = 0x0100;

/**
 * Frame types. 0x0001–0x0010 are netconduit's. Those from 0x0100 up are ours, and only sent to peers that support them.
 */
export const FrameType = {
  MESSAGE: 0x0001,
  RPC_REQUEST: 0x0002,
  RPC_RESPONSE: 0x0003,
  RPC_ERROR: 0x0004,
  HEARTBEAT_PING: 0x0005,
  HEARTBEAT_PONG: 0x0006,
  AUTH_REQUEST: 0x0007,
  AUTH_SUCCESS: 0x0008,
  AUTH_FAILURE: 0x0009,
  PAUSE: 0x000a,
  RESUME: 0x000b,
  ACK: 0x000c,
  NACK: 0x000d,
  CLOSE: 0x000e,
  CLOSE_ACK: 0x000f,
  RPC_LIST: 0x0010,
  /** SCRAM server-first-message: `{data: str}`. Follows an AUTH_REQUEST that offers `scram`. */
  AUTH_CHALLENGE: 0x0100,
  /** SCRAM client-final-message: `{data: str}`. */
  AUTH_RESPONSE: 0x0101,
  /** A part of a frame, with the extension `chunk`. */
  CHUNK: 0x0104,
} as const;
export type FrameType = (typeof FrameType)[keyof typeof FrameType];

/** Header flags. */
export const Flag = {
  COMPRESSED: 0x0001,
  ENCRYPTED: 0x0002,
  REQUIRE_ACK: 0x0004,
  PRIORITY: 0x0008,
  FRAGMENT: 0x0010,
  LAST_FRAGMENT: 0x0020,
  BINARY: 0x0040,
  /** The sender expects no reply, but requests a notification of failure (extension `refusal`). A hint that other peers ignore. */
  REPORT_REFUSAL: 0x1000,
  /** The sender waits for the acknowledgement of this frame (extensions `chunk` and `stream`). */
  ACK_NOW: 0x8000,
} as const;
