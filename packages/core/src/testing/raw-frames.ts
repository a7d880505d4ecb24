/**
 * Builds and parses frames according to PROTOCOL.md, independently of the library's wire code, so that each checks
 * the other.
 */
import { decode, encode } from "@msgpack/msgpack";

/** Types of frames, by the names that PROTOCOL.md gives them. */
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
  CREDENTIALS_EXPIRING: 0x0118,
  CREDENTIALS: 0x0119,
  INPUT: 0x0120,
  OUTPUT: 0x0121,
  INPUT_END: 0x0122,
  INPUT_CREDIT: 0x0123,
  OUTPUT_CREDIT: 0x0124,
  INPUT_STOP: 0x0125,
  STREAM_ACK: 0x0126,
  PROGRESS: 0x0127,
  TOPIC_START: 0x0130,
  TOPIC_DATA: 0x0131,
  TOPIC_PRESENCE: 0x0132,
  TOPIC_END: 0x0133,
  SESSION_ACK: 0x0140,
} as const;

/** Name of a type of frames. */
export type TypeName = keyof typeof Type;

export const COMPRESSED = 0x0001;
const MAGIC = 0x434e4454;
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

  constructor(header: DataView, payloadBytes: Uint8Array) {
    this.type = header.getUint16(6);
    this.flags = header.getUint16(8);
    this.id = header.getBigUint64(16);
    this.timestampMs = Number(header.getBigUint64(24));
    this.payloadBytes = payloadBytes;
  }

  /** The decoded payload; `null` for an empty or a compressed one. */
  get payload(): Readonly<Record<string, unknown>> | null {
    if (this.payloadBytes.length === 0 || (this.flags & COMPRESSED) !== 0) return null;
    return decode(this.payloadBytes) as Record<string, unknown>;
  }
}

/** A frame with these bytes as its payload. */
export function rawFrame(type: number, payload: Uint8Array, fields: HeaderFields = {}): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(HEADER_BYTES + payload.length);
  const header = new DataView(bytes.buffer);
  header.setUint32(0, fields.magic ?? MAGIC);
  header.setUint16(4, fields.version ?? 0x0100);
  header.setUint16(6, type);
  header.setUint16(8, fields.flags ?? 0);
  header.setUint16(10, fields.reserved ?? 0);
  header.setUint32(12, fields.length ?? payload.length);
  header.setBigUint64(16, BigInt(fields.id ?? 0));
  header.setBigUint64(24, BigInt(Date.now()));
  bytes.set(payload, HEADER_BYTES);
  return bytes;
}

/** A frame with `payload` as MessagePack; without one, an empty frame. */
export function frame(type: number, payload?: unknown, fields: HeaderFields = {}): Uint8Array<ArrayBuffer> {
  return rawFrame(type, payload === undefined ? new Uint8Array(0) : encode(payload), fields);
}

/** RPC_REQUEST. */
export function call(id: number | bigint, method: string, params: unknown = {}): Uint8Array<ArrayBuffer> {
  return frame(Type.RPC_REQUEST, { method, params }, { id });
}

/** MESSAGE. */
export function message(type: string, data: unknown = null, id: number | bigint = 0): Uint8Array<ArrayBuffer> {
  return frame(Type.MESSAGE, { type, data }, { id });
}

/** The CHUNK frames of a frame, with up to `size` bytes of it each. */
export function chunksOf(bytes: Uint8Array, id: number | bigint, size = 65_536): Uint8Array[] {
  const chunks: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    chunks.push(rawFrame(Type.CHUNK, bytes.subarray(at, at + size), { id }));
  }
  return chunks;
}

/** The name of a frame's type. */
export function typeName({ type }: { readonly type: number }): string {
  return Object.entries(Type).find(([, number]) => number === type)?.[0] ?? String(type);
}

/** The number of a type given by name or number. */
export function typeNumber(type: TypeName | number): number {
  return typeof type === "number" ? type : Type[type];
}

/** Finds frames in chunks of bytes, skipping bytes between them. */
export class FrameParser {
  #chunks: Uint8Array[] = [];
  #length = 0;
  /** Bytes that must be there before there is anything to find. */
  #needed: number = HEADER_BYTES;

  push(chunk: Uint8Array): ReceivedFrame[] {
    this.#chunks.push(chunk.slice());
    this.#length += chunk.length;
    // Joining large frames at each chunk again would take the square of their length.
    if (this.#length < this.#needed) return [];
    const bytes = concat(this.#chunks);
    const view = new DataView(bytes.buffer);
    const frames: ReceivedFrame[] = [];
    let start = 0;
    this.#needed = HEADER_BYTES;
    while (bytes.length - start >= HEADER_BYTES) {
      if (view.getUint32(start) !== MAGIC) {
        start += 1;
        continue;
      }
      const payload = start + HEADER_BYTES;
      const end = payload + view.getUint32(start + 12);
      if (bytes.length < end) {
        this.#needed = end - start;
        break;
      }
      frames.push(new ReceivedFrame(new DataView(bytes.buffer, start, HEADER_BYTES), bytes.slice(payload, end)));
      start = end;
    }
    this.#chunks = [bytes.subarray(start)];
    this.#length = bytes.length - start;
    return frames;
  }
}

/** Concatenates several arrays. */
export function concat(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}
