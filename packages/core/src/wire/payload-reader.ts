/**
 * Reads the payloads of frames into fields.
 *
 * Theory of operation. Nearly every payload has its keys in the documented order. Such an envelope is matched byte by
 * byte, and only the value inside is decoded. Any other payload (another order, more keys) is decoded as a map. Unknown
 * keys are ignored, as in netconduit.
 */
import { ConduitError, ErrorCode } from "../errors.ts";
import { DECODED_FACTOR, MIN_DECODED_BYTES } from "../limits.ts";
import { isMap } from "../util/is-map.ts";
import { maxInflatedBytes } from "./compression-ratio.ts";
import { Flag } from "./constants.ts";
import { BYTE_COST } from "./decoded-cost.ts";
import {
  KEY_DATA,
  KEY_PARAMS,
  KEY_TIMEOUT,
  MESSAGE_HEAD,
  REQUEST_HEAD,
  RESPONSE_HEAD,
  TIMED_MESSAGE_HEAD,
  TIMED_REQUEST_HEAD,
} from "./envelope.ts";
import { type Metadata, metadataProblem } from "./metadata.ts";
import { FRESH_MEMORY, type ReceiveMemory } from "./receive-memory.ts";
import type { StreamKeys } from "./stream-keys.ts";
import { ValueReader } from "./value-reader.ts";

/** A frame's payload; a `FrameDecoder` is one. */
export interface PayloadSource {
  readonly bytes: Uint8Array;
  readonly payloadStart: number;
  readonly payloadEnd: number;
  readonly flags: number;
  readonly exclusive: boolean;
  /** Set after reading: whether the decoded value refers to an exclusive frame's bytes. */
  isShared: boolean;
}

type PayloadMap = Readonly<Record<string, unknown>>;

/** Largest `timeout_ms`. */
const MAX_TIMEOUT_MS = 0xffff_ffff;
/** Largest credit for the items that a call returns. */
const MAX_CREDIT = 0xffff_ffff;
/** Depth of a value inside its envelope. */
const INSIDE_ENVELOPE = 1;

/**
 * Reads one payload at a time; reusable. Each method stores its result in the fields it names.
 *
 * All methods throw the ConduitErrors of `ValueReader`, INVALID_PAYLOAD_SHAPE, and the errors of `inflate`. `name` is
 * set even then if it could be read; otherwise it is `""`.
 */
export class PayloadReader {
  /** Message type or method. */
  name = "";
  /** Data, params or result. */
  value: unknown = null;
  /** Milliseconds that the caller will wait; 0 if it sent no deadline. */
  timeoutMs = 0;
  /** Streams of a request; null if it has none. */
  streams: StreamKeys | null = null;
  /** Metadata of a message or request; null if it has none. */
  meta: Metadata | null = null;
  /** Where the last item ended. */
  itemEnd = 0;
  /** Message of an error. */
  message = "";
  /** Code of an error; UNKNOWN if there is none. */
  code: number = ErrorCode.UNKNOWN;
  /** Details of an error. */
  details: Record<string, unknown> | undefined = undefined;
  /** Inflated size of the last payload; if inflating failed, the maximum that it may inflate to. */
  payloadBytes = 0;
  /** Maximum size of an inflated payload. */
  maxBytes: number;

  private readonly inflate: ((bytes: Uint8Array, maxBytes: number) => Uint8Array) | null;
  private readonly reader: ValueReader;

  /**
   * @param inflate see `Runtime.inflate`; throws INFLATED_TOO_LARGE or INFLATE_FAILED. Null to reject compressed
   *   payloads with UNSUPPORTED_FLAG
   * @param memory for large binaries that are copied
   */
  constructor(
    inflate: ((bytes: Uint8Array, maxBytes: number) => Uint8Array) | null,
    maxBytes: number,
    memory: ReceiveMemory = FRESH_MEMORY,
  ) {
    this.inflate = inflate;
    this.maxBytes = maxBytes;
    this.reader = new ValueReader(memory);
  }

  /**
   * MESSAGE: `name`, its data in `value` (null if absent), and `timeoutMs`.
   * @param isPlain whether it is from a plain peer, for which keys of extensions are ignored regardless of their
   *   values
   */
  readMessage(source: PayloadSource, isPlain = false): void {
    this.name = "";
    this.value = null;
    this.timeoutMs = 0;
    this.meta = null;
    if ((source.flags & Flag.COMPRESSED) !== 0) {
      this.readMessage(this.inflated(source), isPlain);
      return;
    }
    const reader = this.open(source);
    const isUntimed = reader.skip(MESSAGE_HEAD);
    if ((isUntimed || reader.skip(TIMED_MESSAGE_HEAD)) && this.readName() && reader.skip(KEY_DATA)) {
      const data = reader.readValue(INSIDE_ENVELOPE);
      if (isUntimed || reader.skip(KEY_TIMEOUT)) {
        const timeout = isUntimed ? 0 : reader.readValue(INSIDE_ENVELOPE);
        this.close(source);
        this.value = data;
        this.timeoutMs = isPlain ? 0 : milliseconds(timeout, "MESSAGE");
        return;
      }
    }
    const map = this.readWhole(source, "MESSAGE");
    this.name = text(map, "type", "MESSAGE");
    this.value = map["data"] ?? null;
    if (isPlain) return;
    this.meta = metadata(map, "MESSAGE");
    this.timeoutMs = milliseconds(map["timeout_ms"], "MESSAGE");
  }

  /**
   * RPC_REQUEST: `name`, its params in `value`, and `timeoutMs`.
   * @param isPlain see `readMessage`
   * @throws ConduitError INVALID_PARAMS if params isn't a map (absent and nil count as an empty one)
   */
  readRpcRequest(source: PayloadSource, isPlain = false): void {
    this.name = "";
    this.value = null;
    this.timeoutMs = 0;
    this.streams = null;
    this.meta = null;
    if ((source.flags & Flag.COMPRESSED) !== 0) {
      this.readRpcRequest(this.inflated(source), isPlain);
      return;
    }
    const reader = this.open(source);
    const isUntimed = reader.skip(REQUEST_HEAD);
    if ((isUntimed || reader.skip(TIMED_REQUEST_HEAD)) && this.readName() && reader.skip(KEY_PARAMS)) {
      const params = reader.readValue(INSIDE_ENVELOPE);
      if (isUntimed || reader.skip(KEY_TIMEOUT)) {
        const timeout = isUntimed ? 0 : reader.readValue(INSIDE_ENVELOPE);
        this.close(source);
        this.value = paramsMap(params);
        this.timeoutMs = isPlain ? 0 : milliseconds(timeout, "RPC_REQUEST");
        return;
      }
    }
    const map = this.readWhole(source, "RPC_REQUEST");
    this.name = text(map, "method", "RPC_REQUEST");
    this.value = paramsMap(map["params"]);
    if (isPlain) return;
    this.streams = streamKeys(map);
    this.meta = metadata(map, "RPC_REQUEST");
    this.timeoutMs = milliseconds(map["timeout_ms"], "RPC_REQUEST");
  }

  /**
   * Reads one of several consecutive values in `bytes[start, end)`, which must be exclusive memory. Sets `itemEnd`.
   */
  readItem(bytes: Uint8Array, start: number, end: number): unknown {
    const { reader } = this;
    reader.open(bytes, start, end, true, maxDecodedBytes(this.maxBytes));
    const item = reader.readValue(0);
    this.itemEnd = reader.leave();
    return item;
  }

  /** RPC_RESPONSE: the result in `value` (null if absent). */
  readRpcResponse(source: PayloadSource): void {
    this.value = null;
    if ((source.flags & Flag.COMPRESSED) !== 0) {
      this.readRpcResponse(this.inflated(source));
      return;
    }
    const reader = this.open(source);
    if (reader.skip(RESPONSE_HEAD)) {
      this.value = reader.readValue(INSIDE_ENVELOPE);
      this.close(source);
      return;
    }
    const map = this.readWhole(source, "RPC_RESPONSE");
    if (map["success"] === false) throw invalidShape("RPC_RESPONSE", "success is false");
    this.value = map["result"] ?? null;
  }

  /** RPC_ERROR: `message`, `code` and `details`. */
  readRpcError(source: PayloadSource): void {
    const map = this.readMap(source);
    if (map === null) throw invalidShape("RPC_ERROR", "it is empty");
    this.message = text(map, "error", "RPC_ERROR");
    const code = map["code"];
    this.code = Number.isSafeInteger(code) ? (code as number) : ErrorCode.UNKNOWN;
    const details = map["details"];
    this.details = isMap(details) ? details : undefined;
  }

  /**
   * Returns the payload of any other frame, or null if there is none. It must be a map.
   * @param maxBytes maximum size of an inflated payload, if different from the reader's
   */
  readMap(source: PayloadSource, maxBytes: number = this.maxBytes): Record<string, unknown> | null {
    if (source.payloadStart === source.payloadEnd) return null;
    if ((source.flags & Flag.COMPRESSED) !== 0) return this.readMap(this.inflated(source, maxBytes), maxBytes);
    return this.readWhole(source, "frame", maxBytes);
  }

  /** Approximate memory that the last payload's values keep, without intermediate copies. */
  get size(): number {
    return Math.max(this.payloadBytes, this.reader.cost - (BYTE_COST - 1) * this.payloadBytes);
  }

  private open(source: PayloadSource): ValueReader {
    const reader = this.reader;
    this.payloadBytes = source.payloadEnd - source.payloadStart;
    reader.open(source.bytes, source.payloadStart, source.payloadEnd, source.exclusive, maxDecodedBytes(this.maxBytes));
    return reader;
  }

  private close(source: PayloadSource): void {
    this.reader.close();
    source.isShared = this.reader.aliased;
  }

  private readName(): boolean {
    const name = this.reader.readName();
    if (name === null) return false;
    this.name = name;
    return true;
  }

  private readWhole(source: PayloadSource, frame: string, maxBytes: number = this.maxBytes): Record<string, unknown> {
    const { bytes, payloadStart, payloadEnd, exclusive } = source;
    if (payloadStart === payloadEnd) throw invalidShape(frame, "it is empty");
    this.payloadBytes = payloadEnd - payloadStart;
    const value = this.reader.decode(bytes, payloadStart, payloadEnd, exclusive, maxDecodedBytes(maxBytes));
    source.isShared = this.reader.aliased;
    if (!isMap(value)) throw invalidShape(frame, `it is ${kind(value)} and not a map`);
    return value;
  }

  private inflated(source: PayloadSource, maxBytes: number = this.maxBytes): PayloadSource {
    const { payloadStart, payloadEnd } = source;
    this.payloadBytes = payloadEnd - payloadStart;
    if (this.inflate === null) {
      const problem = "it is compressed, which wasn't agreed on (option enableCompression of both sides)";
      throw new ConduitError(ErrorCode.UNSUPPORTED_FLAG, `Cannot read payload: ${problem}`);
    }
    const limit = Math.min(maxBytes, maxInflatedBytes(this.payloadBytes));
    this.payloadBytes = limit;
    const bytes = this.inflate(source.bytes.subarray(payloadStart, payloadEnd), limit);
    this.payloadBytes = bytes.length;
    source.isShared = false;
    return { bytes, payloadStart: 0, payloadEnd: bytes.length, flags: 0, exclusive: true, isShared: true };
  }
}

/** Limit of the memory of a payload's values, given the limit of its bytes. */
export function maxDecodedBytes(maxPayloadBytes: number): number {
  return Math.max(MIN_DECODED_BYTES, DECODED_FACTOR * maxPayloadBytes);
}

function text(map: PayloadMap, key: string, frame: string): string {
  const value = map[key];
  if (typeof value !== "string") throw invalidShape(frame, `${key} is ${kind(value)} and not a string`);
  return value;
}

/** The streams of a request. @throws ConduitError INVALID_PAYLOAD_SHAPE */
function streamKeys({ output, input, progress }: PayloadMap): StreamKeys | null {
  const keys = { output: streamCredit(output), input: flag(input, "input"), progress: flag(progress, "progress") };
  return keys.output > 0 || keys.input || keys.progress ? keys : null;
}

/** The credit for an output; 0 for none. @throws ConduitError INVALID_PAYLOAD_SHAPE */
function streamCredit(value: unknown): number {
  if (value === undefined || value === null) return 0;
  if (Number.isInteger(value) && (value as number) >= 1 && (value as number) <= MAX_CREDIT) return value as number;
  throw invalidShape("RPC_REQUEST", `output is ${kind(value)} and not an integer from 1 to ${MAX_CREDIT}`);
}

/** @throws ConduitError INVALID_PAYLOAD_SHAPE */
function flag(value: unknown, key: string): boolean {
  if (value === undefined || value === null) return false;
  if (typeof value === "boolean") return value;
  throw invalidShape("RPC_REQUEST", `${key} is ${kind(value)} and not a boolean`);
}

/** @throws ConduitError INVALID_PAYLOAD_SHAPE */
function metadata({ meta }: PayloadMap, frame: string): Metadata | null {
  if (meta === undefined || meta === null) return null;
  const problem = metadataProblem(meta);
  if (problem !== null) throw invalidShape(frame, `meta ${problem}`);
  return meta as Metadata;
}

function milliseconds(value: unknown, frame: string): number {
  if (value === undefined || value === null) return 0;
  if (Number.isInteger(value) && (value as number) >= 0 && (value as number) <= MAX_TIMEOUT_MS) return value as number;
  throw invalidShape(frame, `timeout_ms is ${kind(value)} and not an integer from 0 to ${MAX_TIMEOUT_MS}`);
}

function paramsMap(value: unknown): Record<string, unknown> {
  if (isMap(value)) return value;
  if (value === undefined || value === null) return {};
  throw new ConduitError(
    ErrorCode.INVALID_PARAMS,
    `Cannot read params: they must be one object (a map), and not ${kind(value)}`,
  );
}

function kind(value: unknown): string {
  if (value === undefined) return "absent";
  if (value === null) return "nil";
  if (typeof value === "object") return value.constructor.name;
  return typeof value === "number" ? String(value) : `a ${typeof value}`;
}

function invalidShape(frame: string, problem: string): ConduitError {
  return new ConduitError(ErrorCode.INVALID_PAYLOAD_SHAPE, `Cannot read the payload of ${frame}: ${problem}`);
}
