/**
 * Encodes values as MessagePack.
 *
 * Theory of operation. Plain data goes through one reused Encoder of `@msgpack/msgpack` and leaves as a view of its
 * buffer. The library calls `tryToEncode` for everything that is not a primitive; there, whatever is not plain data
 * is noted, and the value is composed anew on the slow path (value-composer.ts), which supports more types and names
 * the path of what it refuses. So is a value that is too deep or cyclic.
 *
 * Two things the hook never sees: lone surrogates, which the library writes as invalid UTF-8 or as U+FFFD, and
 * the key `__proto__`. The result is searched for the bytes they leave behind, which costs less than walking every value.
 * Where that is no verdict, or most of the result is binary data, the value is walked.
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

/** A result above this takes the Encoder's buffer with it, so that one large message does not stay allocated. */
const MAX_KEPT_BYTES = 1024 * 1024;

const NIL: Uint8Array = new Uint8Array([0xc0]);
const FALSE: Uint8Array = new Uint8Array([0xc2]);
const TRUE: Uint8Array = new Uint8Array([0xc3]);
/** Every one-byte integer, from -32 to 127. */
const FIXED_INTEGERS: readonly Uint8Array[] = Array.from({ length: 160 }, (_, i) => new Uint8Array([(i - 32) & 0xff]));

/** What the hook saw since the encoding began: bytes of binary data, and whether the slow path is needed. */
let binaryBytes = 0;
let special = false;

/** Stands for what is not plain data, in a result that will not be used. Throwing instead costs 2 µs. */
const PLACEHOLDER: ExtData = new ExtData(0, NIL);

function tryToEncode(value: unknown): ExtData | null {
  if (typeof value === "object" && value !== null) {
    // An own key `constructor` is caught here as well, and refused on the slow path.
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
  // The library counts a leaf as a level of its own: the last level goes to the slow path, which counts exactly.
  maxDepth: MAX_VALUE_DEPTH,
};

/**
 * Encodes one value at a time; reuse it. Binary data of 16 KiB and more is left out of the result, see `large`.
 *
 * Plain data, `Uint8Array`, `Date` and `ExtData` are encoded as the library does; also `Map` with string keys, bigint
 * up to 64 bits, `Float64`, `ArrayBuffer`, and class instances by their own enumerable properties. `undefined` is left
 * out of maps and is nil elsewhere. Symbol keys are ignored, and -0 is sent as 0 unless a `Float64`.
 */
export class ValueWriter {
  /** Whether the bytes of the last `encode` belong to the caller. False: they are valid until the next call only. */
  owned = false;
  /** Large binary data that the bytes of the last `encode` leave out, in order; null: none. */
  large: readonly LargeBinary[] | null = null;

  private encoder: Encoder = new Encoder(encoderOptions);
  private composer: ValueComposer = new ValueComposer(this.encoder);
  /** Encoding calls getters, and they may call back. */
  private busy = false;
  private readonly integer8: Uint8Array = new Uint8Array(2);
  private readonly integer16: Uint8Array = new Uint8Array(3);
  private readonly integer32: Uint8Array = new Uint8Array(5);

  /**
   * @param rootName what the value is called in errors: `Cannot encode <rootName>.users[3]: …`
   * @throws ConduitError UNSERIALIZABLE with the path of what cannot be encoded
   */
  encode(value: unknown, rootName: string): Uint8Array {
    this.owned = false;
    this.large = null;
    if (value === null || value === undefined) return NIL;
    if (typeof value === "boolean") return value ? TRUE : FALSE;
    if (typeof value === "number" && (value | 0) === value && value >= -32) return this.encodeInteger(value);
    if (this.busy) return this.encodeApart(value, rootName);
    this.busy = true;
    // The first never throws, and the second resets `busy` when it does.
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

  /** What the library makes of `value`; null when it is not plain data, or not sound. */
  private encodePlain(value: unknown): Uint8Array | null {
    // A getter that encodes something itself does so in the middle of another encoding.
    const outerBinaryBytes = binaryBytes;
    const outerSpecial = special;
    binaryBytes = 0;
    special = false;
    try {
      const bytes = this.encoder.encodeSharedRef(value);
      if (special) return null;
      const searchable = binaryBytes * 2 <= bytes.length;
      if (!((searchable && looksSound(bytes)) || isSound(value))) return null;
      // A getter may have encoded something itself meanwhile.
      this.large = null;
      return bytes;
    } catch {
      // Too deep, or a getter threw: the slow path says where.
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
      // The value may have been large up to the point where it failed.
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
 * False if `bytes` may hold a lone surrogate (ED A0..BF 80..BF, or EF BF BD where the library replaced it), or the key
 * `__proto__` or `prototype`. Binary data and a genuine U+FFFD look the same: false is no verdict.
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

/** Whether a value that the library encoded holds no lone surrogate and no forbidden key. */
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
