/**
 * Encodes values as MessagePack.
 *
 * Theory of operation. Plain data is encoded by a reused Encoder of `@msgpack/msgpack`, and the result is a view of its
 * buffer. The library calls `tryToEncode` for every value that isn't primitive. This hook detects values that aren't
 * plain data; those are composed again on the slow path (value-composer.ts), which supports more types and reports the
 * path of invalid values. The slow path also handles values that are too deep or cyclic.
 *
 * The hook doesn't see -0, which the library writes as 0, lone surrogates, which it writes as invalid UTF-8 or
 * U+FFFD, or the key `__proto__`. So the result is searched for the bytes that these produce, which is cheaper than
 * walking every value. If the search is inconclusive, the value is walked.
 */
import { Encoder, type EncoderOptions, ExtData } from "@msgpack/msgpack";
import { ConduitError, ErrorCode } from "../errors.ts";
import {
  encodeDate,
  isWellFormed,
  LARGE_BINARY_BYTES,
  type LargeBinary,
  MAX_VALUE_DEPTH,
  ValueComposer,
} from "./value-composer.ts";
import { isForbiddenKey } from "./value-reader.ts";

/** A larger result takes the Encoder's buffer with it, so that the memory of one large message isn't retained. */
const MAX_KEPT_BYTES = 1024 * 1024;

const NIL: Uint8Array = new Uint8Array([0xc0]);
const FALSE: Uint8Array = new Uint8Array([0xc2]);
const TRUE: Uint8Array = new Uint8Array([0xc3]);
/** All one-byte integers, from -32 to 127. */
const FIXED_INTEGERS: readonly Uint8Array[] = Array.from({ length: 160 }, (_, i) => new Uint8Array([(i - 32) & 0xff]));

/** Set by the hook during an encoding: whether the slow path is needed. */
let special = false;

/** Replaces values that aren't plain data, in a result that is discarded. Throwing instead costs 2 µs. */
const PLACEHOLDER: ExtData = new ExtData(0, NIL);

function tryToEncode(value: unknown): ExtData | null {
  if (typeof value === "object" && value !== null) {
    // Also detects an own key `constructor`, which the slow path rejects.
    const maker = value.constructor as unknown;
    if (
      maker === Array ||
      (maker === Object && (value as Partial<AsyncIterable<unknown>>)[Symbol.asyncIterator] === undefined)
    )
      return null;
    if (value instanceof Uint8Array) {
      if (value.length < LARGE_BINARY_BYTES) return null;
      special = true;
      return PLACEHOLDER;
    }
    if (maker === Date && !Number.isNaN((value as Date).getTime())) return encodeDate(value as Date);
    if (maker === undefined && Object.getPrototypeOf(value) === null) return null;
    if (value instanceof ExtData) return value;
  }
  special = true;
  return PLACEHOLDER;
}

const encoderOptions: EncoderOptions = {
  extensionCodec: {
    tryToEncode,
    decode(): never {
      throw new ConduitError(ErrorCode.INTERNAL, "The encoder's codec does not decode");
    },
  },
  ignoreUndefined: true,
  // The library counts leaves as a level, so the last level goes to the slow path, which counts exactly.
  maxDepth: MAX_VALUE_DEPTH,
};

/**
 * Encodes one value at a time; reusable. Binary data of 16 KiB and more is omitted from the result, see `large`.
 *
 * Encodes plain data, `Uint8Array`, `Date` and `ExtData` as the library does, and also `Map` with string keys, bigint
 * up to 64 bits, `Float64`, `ArrayBuffer`, and class instances by their own enumerable properties. `undefined` is
 * omitted from maps and is nil elsewhere. Symbol keys are ignored.
 */
export class ValueWriter {
  /** Whether the caller owns the bytes of the last `encode`. If false, they are only valid until the next call. */
  owned = false;
  /** Large binary data omitted from the bytes of the last `encode`, in order; null if there is none. */
  large: readonly LargeBinary[] | null = null;

  private encoder: Encoder = new Encoder(encoderOptions);
  private composer: ValueComposer = new ValueComposer(this.encoder);
  /** Encoding calls getters, which may call this writer again. */
  private busy = false;
  private readonly integer8: Uint8Array = new Uint8Array(2);
  private readonly integer16: Uint8Array = new Uint8Array(3);
  private readonly integer32: Uint8Array = new Uint8Array(5);

  /**
   * @param rootName name of the value in errors: `Cannot encode <rootName>.users[3]: …`
   * @throws ConduitError UNSERIALIZABLE with the path of the invalid value
   */
  encode(value: unknown, rootName: string): Uint8Array {
    this.owned = false;
    this.large = null;
    if (value === null || value === undefined) return NIL;
    if (typeof value === "boolean") return value ? TRUE : FALSE;
    if (typeof value === "number" && Object.is(value | 0, value) && value >= -32) return this.encodeInteger(value);
    if (this.busy) return this.encodeApart(value, rootName);
    this.busy = true;
    // encodePlain never throws, and compose resets `busy` if it throws.
    const bytes = this.encodePlain(value) ?? this.compose(value, rootName);
    this.busy = false;
    this.owned = bytes.length > MAX_KEPT_BYTES;
    if (this.owned) this.renew();
    return bytes;
  }

  private encodeApart(value: unknown, rootName: string): Uint8Array {
    const apart = new ValueWriter();
    const bytes = apart.encode(value, rootName);
    this.large = apart.large;
    return bytes;
  }

  private encodeInteger(value: number): Uint8Array {
    if (value < 0x80) return FIXED_INTEGERS[value + 32] as Uint8Array;
    if (value >= 0x1_0000) {
      const bytes = this.integer32;
      bytes[0] = 0xce;
      bytes[1] = value >>> 24;
      bytes[2] = value >>> 16;
      bytes[3] = value >>> 8;
      bytes[4] = value;
      return bytes;
    }
    if (value < 0x100) {
      const bytes = this.integer8;
      bytes[0] = 0xcc;
      bytes[1] = value;
      return bytes;
    }
    const bytes = this.integer16;
    bytes[0] = 0xcd;
    bytes[1] = value >>> 8;
    bytes[2] = value;
    return bytes;
  }

  /** Encodes `value` with the library; null if it isn't plain data or isn't valid. */
  private encodePlain(value: unknown): Uint8Array | null {
    // A getter may start another encoding in the middle of this one.
    const outerSpecial = special;
    special = false;
    try {
      const bytes = this.encoder.encodeSharedRef(value);
      if (special) return null;
      if (!looksSound(bytes) && !isSound(value)) return null;
      // A getter may have encoded another value in the meantime.
      this.large = null;
      return bytes;
    } catch {
      // Too deep, or a getter threw; the slow path reports where.
      return null;
    } finally {
      special = outerSpecial;
    }
  }

  private compose(value: unknown, rootName: string): Uint8Array {
    try {
      const bytes = this.composer.compose(value, rootName);
      this.large = this.composer.large;
      return bytes;
    } catch (cause) {
      this.busy = false;
      // The buffer may have grown before the failure.
      this.renew();
      if (cause instanceof ConduitError) throw cause;
      throw new ConduitError(ErrorCode.UNSERIALIZABLE, `Cannot encode ${rootName}: ${String(cause)}`, { cause });
    }
  }

  private renew(): void {
    this.encoder = new Encoder(encoderOptions);
    this.composer = new ValueComposer(this.encoder);
  }
}

/** Number of bytes that follow each head byte from 0xc0: a number, a type, or the length of text or data. */
const FOLLOWING: Uint8Array = Uint8Array.of(
  ...[0, 0, 0, 0], // nil, unused, false, true
  ...[1, 2, 4], // binary
  ...[2, 3, 5], // extension
  ...[4, 8], // floats
  ...[1, 2, 4, 8, 1, 2, 4, 8], // integers
  ...[2, 3, 5, 9, 17], // extensions of a fixed size
  ...[1, 2, 4], // string
  ...[2, 4, 2, 4], // array, map
);

/**
 * False if the library may have changed the value that it encoded as `bytes`: if they contain a zero, which may have been
 * -0, a lone surrogate (ED A0..BF, or EF BF BD as its replacement), or the key `__proto__` or `prototype`. A genuine zero
 * or U+FFFD looks the same, so false is inconclusive.
 */
function looksSound(bytes: Uint8Array): boolean {
  const { length } = bytes;
  let at = 0;
  while (at < length) {
    const head = bytes[at] as number;
    at++;
    if (head === 0) return false;
    if (head < 0xa0 || head >= 0xe0) continue;
    let textEnd = at;
    if (head < 0xc0) {
      textEnd += head & 0x1f;
      if (head === 0xa9) {
        const next = bytes[at];
        if ((next === 0x5f && bytes[at + 1] === 0x5f) || (next === 0x70 && bytes[at + 1] === 0x72)) return false;
      }
    } else {
      const size = FOLLOWING[head - 0xc0] as number;
      at += size;
      if (head >= 0xc4 && head <= 0xc6) at += numberBefore(bytes, at, size);
      else if (head >= 0xc7 && head <= 0xc9) at += numberBefore(bytes, at - 1, size - 1);
      else if (head >= 0xd9 && head <= 0xdb) textEnd = at + numberBefore(bytes, at, size);
    }
    for (; at < textEnd; at++) {
      const byte = bytes[at] as number;
      if (byte < 0xed) continue;
      if (byte === 0xed && (bytes[at + 1] as number) >= 0xa0) return false;
      if (byte === 0xef && bytes[at + 1] === 0xbf && bytes[at + 2] === 0xbd) return false;
    }
  }
  return true;
}

function numberBefore(bytes: Uint8Array, end: number, size: number): number {
  let number = 0;
  for (let at = end - size; at < end; at++) number = number * 256 + (bytes[at] as number);
  return number;
}

/** Whether a value contains no -0, no lone surrogates and no forbidden keys. */
function isSound(value: unknown): boolean {
  if (typeof value === "number") return !Object.is(value, -0);
  if (typeof value === "string") return isWellFormed(value);
  if (typeof value !== "object" || value === null) return true;
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      if (!isSound(value[i])) return false;
    }
    return true;
  }
  if (value instanceof Uint8Array || value instanceof Date || value instanceof ExtData) return true;
  for (const key of Object.keys(value)) {
    const element = (value as Record<string, unknown>)[key];
    if (element === undefined) continue;
    if (isForbiddenKey(key) || !isWellFormed(key) || !isSound(element)) return false;
  }
  return true;
}
