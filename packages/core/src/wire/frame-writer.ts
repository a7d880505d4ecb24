/**
 * Builds frames in the turn's slab.
 *
 * Consecutive frames are adjacent, so a connection can write several of them to its socket at once. A value is encoded
 * before its place in the slab is reserved, so an encoding error, or a getter that sends frames itself, does no harm.
 */
import { type Called, ConduitError, ErrorCode, quoted } from "../errors.ts";
import { COMPRESSION_THRESHOLD_BYTES, HEADER_BYTES } from "../limits.ts";
import { describeValue } from "../text/describe-value.ts";
import { checkName } from "../util/check-name.ts";
import { calledAs, isReserved } from "./called-as.ts";
import { maxInflatedBytes } from "./compression-ratio.ts";
import { Flag, FrameType, MAGIC, VERSION } from "./constants.ts";
import { EncodedValue } from "./encoded-value.ts";
import {
  concat,
  encodeText,
  KEY_DATA,
  KEY_PARAMS,
  KEY_TIMEOUT,
  MESSAGE_HEAD,
  REQUEST_HEAD,
  RESPONSE_HEAD,
} from "./envelope.ts";
import { type Metadata, metadataHead } from "./metadata.ts";
import { type FrameBytes, FrameCursor } from "./scattered-frame.ts";
import { MAX_SLAB_FRAME_BYTES, Slab } from "./slab.ts";
import { type StreamKeys, streamHead } from "./stream-keys.ts";
import { isWellFormed, type LargeBinary } from "./value-composer.ts";
import { ValueWriter } from "./value-writer.ts";

const EMPTY: Uint8Array<ArrayBuffer> = new Uint8Array(0);
const NO_PARAMS: Readonly<Record<string, never>> = {};
/** Limits of the cache of names. Names come from code, so they are only reached by mistake or with generated names. */
const MAX_CACHED_NAMES = 1024;
const MAX_CACHED_NAME_CHARACTERS = 256;
/** Up to this size, a loop copies faster than `set`. */
const LOOP_COPY_BYTES = 64;
/** Up to this size, memory is allocated by the engine, which takes 0.12 µs for 64 bytes (0.33 by the runtime), 1.3 µs for 4 KiB (1.6). */
const MAX_SMALL_BYTES = 4096;
/** Offset of the flags, two bytes, in the header. */
const FLAGS_OFFSET = 8;
const TIMEOUT_VALUE_BYTES = 5;
const MAX_TIMEOUT_MS = 0xffff_ffff;
const TWO_TO_32 = 0x1_0000_0000;

/** Options of {@link FrameWriter}. */
export interface FrameWriterOptions {
  /** Unix milliseconds. Called for each frame, and may return the start of the turn. */
  readonly wallClock: () => number;
  /** Largest payload sent, in bytes before compression. */
  readonly maxMessageBytes: number;
  /** Compresses a payload to a zlib stream. Null for no compression. */
  readonly compress: ((bytes: Uint8Array) => Uint8Array) | null;
  /** Leave large binary data in place, and list it in `large`. Default false: frames are complete. */
  readonly scatter?: boolean | undefined;
  /** See `Runtime.allocate`. Default: zeroed memory. */
  readonly allocate?: ((bytes: number) => Uint8Array) | undefined;
  /** Slab for small frames. Default: a new one, whose turns never end. */
  readonly slab?: Slab | undefined;
}

/**
 * Writes frames; reusable, also for several connections. Each method puts the frame in `bytes` from `start` to `end`.
 * The fields are valid until the next call; the bytes stay valid. The data in `large` is the application's, and only
 * valid until the application continues.
 *
 * All methods that take a value throw ConduitError UNSERIALIZABLE (with the value's path) or MESSAGE_TOO_LARGE, without
 * writing anything. Correlation ids are two unsigned 32-bit halves, 0/0 for none.
 */
export class FrameWriter implements FrameBytes {
  bytes: Uint8Array = EMPTY;
  start = 0;
  end = 0;
  large: readonly LargeBinary[] | null = null;
  /** Payload of the last message, call or reply, before compression. */
  payloadBytes = 0;

  private readonly wallClock: () => number;
  private readonly maxMessageBytes: number;
  private readonly compress: ((bytes: Uint8Array) => Uint8Array) | null;
  private readonly scatter: boolean;
  private readonly allocate: (bytes: number) => Uint8Array;
  private readonly values: ValueWriter = new ValueWriter();
  /** `{type: <name>, data:` by name, and the same for requests. */
  private readonly messageHeads: Map<string, Uint8Array> = new Map();
  private readonly requestHeads: Map<string, Uint8Array> = new Map();
  private readonly slab: Slab;

  constructor(options: FrameWriterOptions) {
    this.wallClock = options.wallClock;
    this.maxMessageBytes = options.maxMessageBytes;
    this.compress = options.compress;
    this.scatter = options.scatter ?? false;
    this.allocate = options.allocate ?? ((bytes) => new Uint8Array(bytes));
    this.slab = options.slab ?? new Slab((bytes, start, end) => bytes.subarray(start, end));
  }

  /** Whether it compresses large payloads. */
  get compresses(): boolean {
    return this.compress !== null;
  }

  /** MESSAGE `{type, meta?, data, timeout_ms?}`; undefined data is nil, and 0 ms (no timeout) is omitted. */
  message(
    hi: number,
    lo: number,
    type: string,
    data: unknown,
    timeoutMs: number = 0,
    meta: Metadata | null = null,
  ): void {
    let head = this.messageHead(type);
    if (meta !== null) head = metadataHead(head, "data", meta);
    this.write(FrameType.MESSAGE, hi, lo, head, this.encode(data, "data"), timeoutMs, type);
  }

  /** RPC_REQUEST `{method, meta?, params, timeout_ms?}`; undefined params are `{}`, and 0 ms (no timeout) is omitted. */
  rpcRequest(
    hi: number,
    lo: number,
    method: string,
    params: unknown,
    timeoutMs: number,
    streams: StreamKeys | null = null,
    meta: Metadata | null = null,
  ): void {
    let head = this.requestHead(method);
    if (streams !== null) head = streamHead(head, streams);
    if (meta !== null) head = metadataHead(head, "params", meta);
    const value = this.encode(params === undefined ? NO_PARAMS : params, rootOf(method));
    this.write(FrameType.RPC_REQUEST, hi, lo, head, value, timeoutMs, calledAs(method, params));
  }

  /** Encodes an item of a stream. The result is valid until the next value is encoded. */
  encodeItem(item: unknown, path = "item"): Uint8Array {
    const encoded = this.values.encode(item, path);
    const { large } = this.values;
    if (large === null) return encoded;
    const whole = this.allocate(encoded.length + totalLength(large));
    writeInterleaved(whole, 0, encoded, large);
    return whole;
  }

  /** Encodes the data of a message that is sent later, by `message`. */
  encodeData(type: string, data: unknown): EncodedValue {
    return this.encodeLater(type, this.messageHead(type), data, "data");
  }

  /** Encodes the params of a call that is sent later, by `rpcRequest`. They may be encoded already. */
  encodeParams(method: string, params: unknown): EncodedValue {
    const value = params === undefined ? NO_PARAMS : params;
    return this.encodeLater(calledAs(method, value), this.requestHead(method), value, rootOf(method));
  }

  /** RPC_RESPONSE `{success: true, result}`; an undefined result is nil. */
  rpcResponse(hi: number, lo: number, result: unknown): void {
    this.write(FrameType.RPC_RESPONSE, hi, lo, RESPONSE_HEAD, this.values.encode(result, "result"), 0);
  }

  /** RPC_ERROR `{success: false, error, code, details?}`; undefined details are omitted. */
  rpcError(
    hi: number,
    lo: number,
    message: string,
    code: number | null,
    details: Readonly<Record<string, unknown>> | undefined,
  ): void {
    const value = this.values.encode({ success: false, error: message, code, details }, "error");
    this.write(FrameType.RPC_ERROR, hi, lo, EMPTY, value, 0);
  }

  /** A frame without a payload. */
  control(type: number, hi: number, lo: number): void {
    this.begin(type, 0, hi, lo, 0, 0);
  }

  /** A frame whose payload is `value`. @param called names it in errors */
  payload(type: number, hi: number, lo: number, value: Readonly<Record<string, unknown>>, called: Called = ""): void {
    this.write(type, hi, lo, EMPTY, this.values.encode(value, ""), 0, called);
  }

  /**
   * A frame whose payload is `head`, all but its last value, and that value. It may be an {@link EncodedValue}.
   * @param called names it in errors
   */
  headed(type: number, hi: number, lo: number, head: Uint8Array, value: unknown, called: Called = ""): void {
    this.write(type, hi, lo, head, this.encode(value, "data"), 0, called);
  }

  /** The encoded form of `value`, for any number of frames by {@link encoded}. */
  encodePayload(value: Readonly<Record<string, unknown>>): Uint8Array {
    const encoded = this.values.encode(value, "payload");
    const { large } = this.values;
    const payload = new Uint8Array(encoded.length + (large === null ? 0 : totalLength(large)));
    if (payload.length > this.maxMessageBytes) throw tooLarge("", payload.length, this.maxMessageBytes);
    writePayload(payload, 0, EMPTY, encoded, large, 0);
    return payload;
  }

  /** A frame with a payload encoded in advance, which isn't compressed. */
  encoded(type: number, hi: number, lo: number, payload: Uint8Array): void {
    this.begin(type, 0, hi, lo, payload.length, payload.length);
    copy(payload, this.bytes, this.start + HEADER_BYTES);
  }

  private messageHead(type: string): Uint8Array {
    return this.messageHeads.get(type) ?? nameHead(this.messageHeads, MESSAGE_HEAD, type, KEY_DATA, "message");
  }

  private requestHead(method: string): Uint8Array {
    return this.requestHeads.get(method) ?? nameHead(this.requestHeads, REQUEST_HEAD, method, KEY_PARAMS, "method");
  }

  private encode(value: unknown, rootName: string): Uint8Array {
    if (!(value instanceof EncodedValue)) return this.values.encode(value, rootName);
    // Drops references to large data of the previous value.
    this.values.encode(null, rootName);
    return value.bytes;
  }

  private encodeLater(called: Called, head: Uint8Array, value: unknown, rootName: string): EncodedValue {
    if (value instanceof EncodedValue) {
      this.mustFit(called, head.length + value.bytes.length);
      return value;
    }
    const encoded = this.values.encode(value, rootName);
    const { large } = this.values;
    const valueLength = large === null ? encoded.length : encoded.length + totalLength(large);
    this.mustFit(called, head.length + valueLength);
    const bytes = valueLength <= MAX_SMALL_BYTES ? new Uint8Array(valueLength) : this.allocate(valueLength);
    if (large === null) bytes.set(encoded);
    else writeInterleaved(bytes, 0, encoded, large);
    return new EncodedValue(bytes, called);
  }

  /** @param length without the timeout. @throws ConduitError MESSAGE_TOO_LARGE */
  private mustFit(called: Called, length: number): void {
    const total = length + KEY_TIMEOUT.length + TIMEOUT_VALUE_BYTES;
    if (total > this.maxMessageBytes) throw tooLarge(called, total, this.maxMessageBytes);
  }

  /** @param called the message or method, for errors; empty if there is none */
  private write(
    type: number,
    hi: number,
    lo: number,
    head: Uint8Array,
    value: Uint8Array,
    timeoutMs: number,
    called: Called = "",
  ): void {
    const headLength = head.length;
    const large = value === EMPTY ? null : this.values.large;
    const valueLength = large === null ? value.length : value.length + totalLength(large);
    const tailLength = timeoutMs > 0 ? KEY_TIMEOUT.length + TIMEOUT_VALUE_BYTES : 0;
    const length = headLength + valueLength + tailLength;
    if (length > this.maxMessageBytes) throw tooLarge(called, length, this.maxMessageBytes);
    this.payloadBytes = length;
    if (this.compress !== null && length > COMPRESSION_THRESHOLD_BYTES) {
      const plain = this.allocate(length);
      writePayload(plain, 0, head, value, large, timeoutMs);
      const compressed = this.compress(plain);
      // A peer rejects a payload that exceeds the compression ratio.
      const smaller = compressed.length < length && length <= maxInflatedBytes(compressed.length);
      const payload = smaller ? compressed : plain;
      this.begin(type, smaller ? Flag.COMPRESSED : 0, hi, lo, payload.length, payload.length);
      this.bytes.set(payload, this.start + HEADER_BYTES);
      return;
    }
    if (large !== null && this.scatter) {
      // Reserve space without the large pieces; the header has the total length.
      this.begin(type, 0, hi, lo, length, length - totalLength(large));
      const at = this.start + HEADER_BYTES;
      writePayload(this.bytes, at, head, value, null, timeoutMs);
      const valueAt = at + headLength;
      this.large = large.map((piece) => ({ at: valueAt + piece.at, bytes: piece.bytes }));
      return;
    }
    this.begin(type, 0, hi, lo, length, length);
    writePayload(this.bytes, this.start + HEADER_BYTES, head, value, large, timeoutMs);
  }

  /** Completes the last frame, so that its large data may change before it is written. */
  gather(): void {
    if (this.large === null) return;
    const cursor = new FrameCursor(this);
    const whole = this.allocate(cursor.left);
    this.start = 0;
    this.end = cursor.copyTo(whole);
    this.bytes = whole;
    this.large = null;
  }

  /** Sets a flag of the last frame. */
  setFlag(flag: number): void {
    const at = this.start + FLAGS_OFFSET;
    this.bytes[at] = (this.bytes[at] as number) | (flag >>> 8);
    this.bytes[at + 1] = (this.bytes[at + 1] as number) | (flag & 0xff);
  }

  /** Reserves space for a frame with `stored` bytes after its header, and writes the header. */
  private begin(type: number, flags: number, hi: number, lo: number, length: number, stored: number): void {
    const total = HEADER_BYTES + stored;
    this.large = null;
    let view: DataView;
    let start = 0;
    if (total > MAX_SLAB_FRAME_BYTES) {
      const own = this.allocate(total);
      view = new DataView(own.buffer, own.byteOffset, HEADER_BYTES);
      this.bytes = own;
    } else {
      start = this.slab.reserve(total);
      view = this.slab.view;
      this.bytes = this.slab.bytes;
    }
    this.start = start;
    this.end = start + total;
    view.setUint32(start, MAGIC);
    view.setUint32(start + 4, (VERSION << 16) | type);
    view.setUint32(start + 8, flags << 16);
    view.setUint32(start + 12, length);
    view.setUint32(start + 16, hi);
    view.setUint32(start + 20, lo);
    const now = this.wallClock();
    view.setUint32(start + 24, Math.floor(now / TWO_TO_32));
    view.setUint32(start + 28, now | 0);
  }
}

function writePayload(
  target: Uint8Array,
  at: number,
  head: Uint8Array,
  value: Uint8Array,
  large: readonly LargeBinary[] | null,
  timeoutMs: number,
): void {
  copy(head, target, at);
  const valueAt = at + head.length;
  let tailAt = valueAt + value.length;
  if (large === null) copy(value, target, valueAt);
  else tailAt = writeInterleaved(target, valueAt, value, large);
  if (timeoutMs > 0) {
    target[at] = (head[0] as number) + 1;
    copy(KEY_TIMEOUT, target, tailAt);
    const numberAt = tailAt + KEY_TIMEOUT.length;
    target[numberAt] = 0xce;
    setTimeoutField(target, numberAt + TIMEOUT_VALUE_BYTES, timeoutMs);
  }
}

/** Writes the header of a frame. `id` is the lower half of its correlation id. */
export function writeHeader(
  target: Uint8Array,
  at: number,
  type: number,
  length: number,
  id: number,
  nowMs: number,
  idHi: number = 0,
  flags: number = 0,
): void {
  const view = new DataView(target.buffer, target.byteOffset + at, HEADER_BYTES);
  view.setUint32(0, MAGIC);
  view.setUint32(4, (VERSION << 16) | type);
  view.setUint32(8, flags << 16);
  view.setUint32(12, length);
  view.setUint32(16, idHi);
  view.setUint32(20, id);
  view.setUint32(24, Math.floor(nowMs / TWO_TO_32));
  view.setUint32(28, nowMs | 0);
}

/** Sets `timeout_ms` of an RPC_REQUEST that ends at `end`; it is the last value of the payload. At least 1 ms. */
export function setTimeoutField(bytes: Uint8Array, end: number, timeoutMs: number): void {
  const number = Math.max(1, Math.min(Math.ceil(timeoutMs), MAX_TIMEOUT_MS));
  bytes[end - 4] = number >>> 24;
  bytes[end - 3] = number >>> 16;
  bytes[end - 2] = number >>> 8;
  bytes[end - 1] = number;
}

/** Writes `value` with the large binary data that it omits. Returns where it ends. */
function writeInterleaved(target: Uint8Array, at: number, value: Uint8Array, large: readonly LargeBinary[]): number {
  let end = at;
  let done = 0;
  for (const { at: next, bytes } of large) {
    copy(value.subarray(done, next), target, end);
    end += next - done;
    done = next;
    target.set(bytes, end);
    end += bytes.length;
  }
  copy(value.subarray(done), target, end);
  return end + value.length - done;
}

function totalLength(large: readonly LargeBinary[]): number {
  let length = 0;
  for (const { bytes } of large) length += bytes.length;
  return length;
}

function copy(source: Uint8Array, target: Uint8Array, at: number): void {
  const length = source.length;
  if (length > LOOP_COPY_BYTES) {
    target.set(source, at);
    return;
  }
  for (let i = 0; i < length; i++) target[at + i] = source[i] as number;
}

/** Creates, and caches within limits, the bytes before the value in the payload of `name`. */
function nameHead(
  heads: Map<string, Uint8Array>,
  before: Uint8Array,
  name: string,
  after: Uint8Array,
  of: "method" | "message",
): Uint8Array {
  checkName(of, name);
  if (!isWellFormed(name)) {
    throw new ConduitError(
      ErrorCode.UNSERIALIZABLE,
      `Cannot encode the name ${describeValue(name)}: it has no UTF-8 form`,
    );
  }
  const head = concat([before, encodeText(name), after]);
  if (name.length <= MAX_CACHED_NAME_CHARACTERS) {
    if (heads.size >= MAX_CACHED_NAMES) heads.clear();
    heads.set(name, head);
  }
  return head;
}

/** The name of the params in error paths. Reserved methods contain the application's value under a key. */
function rootOf(method: string): string {
  return isReserved(method) ? "" : "params";
}

function tooLarge(called: Called, length: number, limit: number): ConduitError {
  return messageTooLarge(called === "" ? "the reply" : quoted(called), length, limit, null);
}

/**
 * The error for a message, call or reply that exceeds one side's limit.
 * @param what e.g. `'upload'` or `the reply`
 * @param receiver the other side, if it is its limit
 */
export function messageTooLarge(
  what: string,
  bytes: number,
  limit: number,
  receiver: "server" | "client" | "peer" | null,
): ConduitError {
  const option = receiver === null ? "maxMessageBytes" : `maxMessageBytes of the ${receiver},`;
  const message = `Cannot send ${what}: ${bytes} bytes exceed ${option} ${limit}; send it as a file or a stream, or raise the option`;
  return new ConduitError(ErrorCode.MESSAGE_TOO_LARGE, message, { details: { bytes, limit } });
}
