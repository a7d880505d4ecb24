/**
 * Encodes values as MessagePack.
 *
 * Theory of operation. Plain data is encoded by a reused Encoder of `@msgpack/msgpack`, and the result is a view of its
 * buffer. The library calls `tryToEncode` for every value that isn't primitive. This hook detects values that aren't
 * plain data; those are composed again on the slow path (value-composer.ts), which supports more types and reports the
 * path of invalid values. The slow path also handles values that are too deep or cyclic.
 *
 * The hook doesn't see lone surrogates, which the library writes as invalid UTF-8 or U+FFFD, or the key `__proto__`.
 * Instead, the result is searched for the bytes they produce, which is cheaper than walking every value. If that is
 * inconclusive, or if most of the result is binary data, the value is walked.
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

/** Set by the hook during an encoding: bytes of binary data, and whether the slow path is needed. */
let binaryBytes = 0;
let special = false;

/** Replaces values that aren't plain data, in a result that is discarded. Throwing instead costs 2 µs. */
const PLACEHOLDER: ExtData = new ExtData(0, NIL);

function tryToEncode(value: unknown): ExtData | null {
  if (typeof value === "object" && value !== null) {
    // Also detects an own key `constructor`, which the slow path rejects.
    const maker = value.constructor as unknown;
    if (maker === Object || maker === Array) return null;
    if (value instanceof Uint8Array) {
      binaryBytes += value.length;
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
 * omitted from maps and is nil elsewhere. Symbol keys are ignored, and -0 is sent as 0 unless it is a `Float64`.
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
    if (typeof value === "number" && (value | 0) === value && value >= -32) return this.encodeInteger(value);
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
    const outerBinaryBytes = binaryBytes;
    const outerSpecial = special;
    binaryBytes = 0;
    special = false;
    try {
      const bytes = this.encoder.encodeSharedRef(value);
      if (special) return null;
      const searchable = binaryBytes * 2 <= bytes.length;
      if (!((searchable && looksSound(bytes)) || isSound(value))) return null;
      // A getter may have encoded another value in the meantime.
      this.large = null;
      return bytes;
    } catch {
      // Too deep, or a getter threw; the slow path reports where.
      return null;
    } finally {
      binaryBytes = outerBinaryBytes;
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

/**
 * False if `bytes` may contain a lone surrogate (ED A0..BF 80..BF, or EF BF BD as its replacement), or the key
 * `__proto__` or `prototype`. Binary data and a genuine U+FFFD look the same, so false is inconclusive.
 */
function looksSound(bytes: Uint8Array): boolean {
  const last = bytes.length - 2;
  for (let i = 0; i < last; i++) {
    const byte = bytes[i] as number;
    if (byte < 0xa9) continue;
    if (byte === 0xa9) {
      const next = bytes[i + 1];
      if ((next === 0x5f && bytes[i + 2] === 0x5f) || (next === 0x70 && bytes[i + 2] === 0x72)) return false;
    } else if (byte === 0xed) {
      const next = bytes[i + 1] as number;
      if (next >= 0xa0 && next < 0xc0 && ((bytes[i + 2] as number) & 0xc0) === 0x80) return false;
    } else if (byte === 0xef) {
      if (bytes[i + 1] === 0xbf && bytes[i + 2] === 0xbd) return false;
    }
  }
  return true;
}

/** Whether a value contains no lone surrogates and no forbidden keys. */
function isSound(value: unknown): boolean {
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
