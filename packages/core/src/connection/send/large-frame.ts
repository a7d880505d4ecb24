import { HEADER_BYTES, MAX_CHUNK_BYTES } from "../../limits.ts";
import { FrameType } from "../../wire/constants.ts";
import { isTopicFrame } from "../../wire/frame-types.ts";
import { type FrameBytes, FrameCursor } from "../../wire/scattered-frame.ts";

/** Frames up to this length are sent whole. */
export const MAX_WHOLE_FRAME_BYTES: number = HEADER_BYTES + MAX_CHUNK_BYTES;

/** A request that can be withdrawn. */
export interface LargeRequest {
  /** Set while its frame leaves in chunks. */
  large: LargeFrame | null;
  /** When its caller gives up, in monotonic milliseconds; 0 if the frame has no `timeout_ms`. */
  readonly expiresAtMs: number;
}

/** A frame that leaves in chunks. */
export class LargeFrame {
  readonly length: number;
  /** Whether large data is still in the application's memory. */
  readonly isScattered: boolean;
  readonly isReply: boolean;
  /** Whether later messages wait for it. */
  readonly isOrdered: boolean;
  /** Null if its caller can't withdraw it. */
  readonly request: LargeRequest | null;
  /** 0 until its first chunk has left. */
  id = 0;
  cursor: FrameCursor;
  /** Goes back to the pool, if it is from there, once the frame has left. */
  memory: Uint8Array;

  constructor(frame: FrameBytes, isReply: boolean, request: LargeRequest | null) {
    this.cursor = new FrameCursor(frame);
    this.memory = frame.bytes;
    this.isScattered = frame.large !== null;
    this.length = this.cursor.left;
    this.isReply = isReply;
    this.isOrdered = !isReply && isOrdered(frame.bytes, frame.start);
    this.request = request;
    if (request !== null) request.large = this;
  }
}

/**
 * Whether a frame keeps its place among the others that do: messages, and calls without a reply. Other calls, and
 * replies, may overtake and be overtaken.
 */
export function isOrdered(bytes: Uint8Array, start: number): boolean {
  const type = ((bytes[start + 6] as number) << 8) | (bytes[start + 7] as number);
  if (type === FrameType.MESSAGE || isTopicFrame(type)) return true;
  if (type !== FrameType.RPC_REQUEST) return false;
  for (let at = start + 16; at < start + 24; at += 1) if (bytes[at] !== 0) return false;
  return true;
}
