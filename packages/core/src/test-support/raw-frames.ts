/**
 * Builds and parses frames according to PROTOCOL.md, without the library's wire code, so that they check each other.
 */
import { decode, encode } from "@msgpack/msgpack";

export const Type = {
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
  AUTH_CHALLENGE: 0x0100,
  AUTH_RESPONSE: 0x0101,
  CANCEL: 0x0102,
  CREDIT: 0x0103,
  CHUNK: 0x0104,
  CHUNK_ACK: 0x0105,
  DRAIN: 0x0108,
  DRAINED: 0x0109,
  READY: 0x010a,
  REFUSED: 0x0110,
} as const;

export const COMPRESSED = 0x0001;
export const HEADER_BYTES = 32;

/** Header fields that differ from the defaults. */
export interface HeaderFields {
  /** Correlation id. Default 0. */
  readonly id?: number | bigint;
  readonly flags?: number;
  /** The declared length. Default: the payload's. */
  readonly length?: number;
  readonly magic?: number;
  readonly version?: number;
  readonly reserved?: number;
}

/** A frame that arrived. */
export class ReceivedFrame {
  readonly type: number;
  readonly flags: number;
  readonly id: bigint;
  /** Unix milliseconds, from the header. */
  readonly timestampMs: number;
  readonly payloadBytes: Uint8Array;

  constructor(header: Buffer, payloadBytes: Uint8Array) {
    this.type = header.readUInt16BE(6);
    this.flags = header.readUInt16BE(8);
    this.id = header.readBigUInt64BE(16);
    this.timestampMs = Number(header.readBigUInt64BE(24));
    this.payloadBytes = payloadBytes;
  }

  /** The decoded payload; `null` for an empty or a compressed one. */
  get payload(): Readonly<Record<string, unknown>> | null {
    if (this.payloadBytes.length === 0 || (this.flags & COMPRESSED) !== 0) return null;
    return decode(this.payloadBytes) as Record<string, unknown>;
  }
}

/** A frame with these bytes as its payload. */
export function rawFrame(type: number, payload: Uint8Array, fields: HeaderFields = {}): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES + payload.length);
  bytes.writeUInt32BE(fields.magic ?? 0x434e4454, 0);
  bytes.writeUInt16BE(fields.version ?? 0x0100, 4);
  bytes.writeUInt16BE(type, 6);
  bytes.writeUInt16BE(fields.flags ?? 0, 8);
  bytes.writeUInt16BE(fields.reserved ?? 0, 10);
  bytes.writeUInt32BE(fields.length ?? payload.length, 12);
  bytes.writeBigUInt64BE(BigInt(fields.id ?? 0), 16);
  bytes.writeBigUInt64BE(BigInt(Date.now()), 24);
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

/** A frame with `payload` as MessagePack; without one, an empty frame. */
export function frame(type: number, payload?: unknown, fields: HeaderFields = {}): Buffer {
  return rawFrame(type, payload === undefined ? new Uint8Array(0) : encode(payload), fields);
}

/** RPC_REQUEST. */
export function call(id: number | bigint, method: string, params: unknown = {}): Buffer {
  return frame(Type.RPC_REQUEST, { method, params }, { id });
}

/** MESSAGE. */
export function message(type: string, data: unknown = null, id: number | bigint = 0): Buffer {
  return frame(Type.MESSAGE, { type, data }, { id });
}

/** The CHUNK frames of a frame, with up to `size` bytes of it each. */
export function chunksOf(bytes: Uint8Array, id: number | bigint, size = 65_536): Buffer[] {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    chunks.push(rawFrame(Type.CHUNK, bytes.subarray(at, at + size), { id }));
  }
  return chunks;
}

/** The name of a frame's type. */
export function typeName({ type }: { readonly type: number }): string {
  return Object.entries(Type).find(([, number]) => number === type)?.[0] ?? String(type);
}

/** Finds the frames in chunks of bytes. */
export class FrameParser {
  #rest: Buffer = Buffer.alloc(0);

  push(chunk: Uint8Array): ReceivedFrame[] {
    const bytes = Buffer.concat([this.#rest, chunk]);
    const frames: ReceivedFrame[] = [];
    let start = 0;
    while (bytes.length - start >= HEADER_BYTES) {
      const payload = start + HEADER_BYTES;
      const end = payload + bytes.readUInt32BE(start + 12);
      if (bytes.length < end) break;
      frames.push(new ReceivedFrame(bytes.subarray(start, payload), new Uint8Array(bytes.subarray(payload, end))));
      start = end;
    }
    this.#rest = bytes.subarray(start);
    return frames;
  }
}
