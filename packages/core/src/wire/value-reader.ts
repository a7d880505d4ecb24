/**
 * Decodes MessagePack from untrusted peers.
 *
 * Theory of operation. The limits concern the content of the bytes: nesting, declared element counts, kind and
 * spelling of map keys, UTF-8, integers that a double can't hold. Checking them requires a full pass that parses
 * every header, after which decoding only takes one more assignment. So a single pass checks and decodes, instead of
 * a check, then `@msgpack/msgpack`'s Decoder, then corrections (it replaces invalid UTF-8 and rounds 64-bit
 * integers). Extension types are still decoded by that library, and tests compare the two decoders.
 *
 * Counts and lengths in headers are checked against the remaining bytes, and each value is charged to a budget before
 * it is created. MAX_DEPTH bounds the recursion.
 */
import { EXT_TIMESTAMP, ExtData } from "@msgpack/msgpack";
import { ConduitError, ErrorCode } from "../errors.ts";
import { MAX_DEPTH } from "../limits.ts";
import {
  ARRAY_COST,
  BIGINT_COST,
  BINARY_COST,
  BYTE_COST,
  DATE_COST,
  EXTENSION_COST,
  HASH_TABLE_COST,
  INDEX_COST,
  INDEX_SLACK,
  KNOWN_KEY_COST,
  LATER_KEY_COST,
  MAP_COST,
  MAX_INDEX_GAP,
  MAX_SHAPE_KEYS,
  NEW_KEY_COST,
  NUMBER_COST,
  SLOT_COST,
  SPARSE_INDEX_COST,
  STRING_COST,
  UTF8_COST,
} from "./decoded-cost.ts";
import { KeyCache, MAX_CACHED_KEY_BYTES } from "./key-cache.ts";
import { FRESH_MEMORY, type ReceiveMemory } from "./receive-memory.ts";
import { asciiString, MAX_SHORT_STRING_BYTES } from "./short-string.ts";

const EMPTY: Uint8Array = new Uint8Array(0);
/** Smaller binaries are always copied: a reference would retain too much memory. */
const MIN_ALIASED_BYTES = 4096;

/** A key that engines treat as an array index. */
const ARRAY_INDEX = /^\d{1,10}$/;

const utf8: TextDecoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const float64 = new Float64Array(1);
const float64Bytes = new Uint8Array(float64.buffer);
const float32 = new Float32Array(1);
const float32Bytes = new Uint8Array(float32.buffer);
/** Index of the most significant byte: 0 on big-endian machines. */
const LITTLE_ENDIAN: boolean = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

/**
 * Reads one value at a time; reusable. Maps become plain objects, binaries plain `Uint8Array`s, timestamps `Date`s,
 * other extension types `ExtData`. Integers that a double holds exactly become numbers, others bigints.
 */
export class ValueReader {
  private bytes: Uint8Array = EMPTY;
  private position = 0;
  private end = 0;
  private exclusive = false;
  /** Whether a value read since `open` refers to the bytes. */
  aliased = false;
  private readonly memory: ReceiveMemory;
  /** Limit of the memory of a payload's values. */
  private maxCost: number = Number.MAX_SAFE_INTEGER;
  /** Memory of the values read since `open`. */
  cost = 0;
  /** The first keys of the last map at each depth. */
  private readonly shapes: readonly string[][] = Array.from({ length: MAX_DEPTH }, () =>
    new Array<string>(MAX_SHAPE_KEYS).fill(""),
  );
  private readonly keys: KeyCache = new KeyCache();

  /** @param memory for large binaries that are copied */
  constructor(memory: ReceiveMemory = FRESH_MEMORY) {
    this.memory = memory;
  }

  /**
   * Decodes the value that occupies exactly `bytes[start, end)`.
   * @param exclusive whether `bytes` has no other user, so that large binary values may refer to it instead of being
   *   copied
   * @param maxCost limit of the value's memory in bytes
   * @throws ConduitError TRAILING_BYTES, TRUNCATED_PAYLOAD, COUNT_EXCEEDS_PAYLOAD, TOO_DEEP, FORBIDDEN_KEY,
   *   INVALID_UTF8, MALFORMED_PAYLOAD, DECODED_TOO_LARGE
   */
  decode(
    bytes: Uint8Array,
    start: number,
    end: number,
    exclusive: boolean,
    maxCost: number = Number.MAX_SAFE_INTEGER,
  ): unknown {
    this.open(bytes, start, end, exclusive, maxCost);
    const value = this.readValue(0);
    this.close();
    return value;
  }

  /** Starts reading in pieces. Follow with reads and {@link close}. */
  open(bytes: Uint8Array, start: number, end: number, exclusive: boolean, maxCost: number): void {
    this.bytes = bytes;
    this.position = start;
    this.end = end;
    this.exclusive = exclusive;
    this.aliased = false;
    this.maxCost = maxCost;
    this.cost = 0;
  }

  /**
   * Ends reading, and releases the bytes.
   * @throws ConduitError TRAILING_BYTES if the end wasn't reached
   */
  close(): void {
    this.bytes = EMPTY;
    if (this.position !== this.end) {
      throw this.fail(ErrorCode.TRAILING_BYTES, `${this.end - this.position} bytes follow its value`);
    }
  }

  /** Ends reading before the end, and releases the bytes. Returns where it stopped. */
  leave(): number {
    this.bytes = EMPTY;
    return this.position;
  }

  /** Whether all bytes were read. */
  get atEnd(): boolean {
    return this.position === this.end;
  }

  /** Skips `expected` if exactly these bytes come next. Returns false if nothing was read. */
  skip(expected: Uint8Array): boolean {
    const length = expected.length;
    const at = this.position;
    if (this.end - at < length) return false;
    const bytes = this.bytes;
    for (let i = 0; i < length; i++) {
      if (bytes[at + i] !== expected[i]) return false;
    }
    this.position = at + length;
    return true;
  }

  /**
   * Reads a string that is likely to repeat, such as a method's name. Returns null without reading if no string comes
   * next.
   */
  readName(): string | null {
    const length = this.readStringLength();
    return length < 0 ? null : this.readRepeated(length, false);
  }

  /** Reads a value inside `depth` containers. */
  readValue(depth: number): unknown {
    const at = this.position;
    if (at >= this.end) throw this.truncated();
    this.position = at + 1;
    const head = this.bytes[at] as number;
    if (head < 0x80) return head;
    if (head < 0x90) return this.readMap(head & 0x0f, depth);
    if (head < 0xa0) return this.readArray(head & 0x0f, depth);
    if (head < 0xc0) return this.readString(head & 0x1f);
    if (head >= 0xe0) return head - 0x100;
    switch (head) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
        return this.readBinary(this.readUint8());
      case 0xc5:
        return this.readBinary(this.readUint16());
      case 0xc6:
        return this.readBinary(this.readUint32());
      case 0xc7:
        return this.readExtension(this.readUint8());
      case 0xc8:
        return this.readExtension(this.readUint16());
      case 0xc9:
        return this.readExtension(this.readUint32());
      case 0xca:
        this.charge(NUMBER_COST);
        return this.readFloat32();
      case 0xcb:
        this.charge(NUMBER_COST);
        return this.readFloat64();
      case 0xcc:
        return this.readUint8();
      case 0xcd:
        return this.readUint16();
      case 0xce:
        this.charge(NUMBER_COST);
        return this.readUint32();
      case 0xcf:
        this.charge(BIGINT_COST);
        return this.readUint64();
      case 0xd0:
        return (this.readUint8() << 24) >> 24;
      case 0xd1:
        return (this.readUint16() << 16) >> 16;
      case 0xd2:
        return this.readUint32() | 0;
      case 0xd3:
        this.charge(BIGINT_COST);
        return this.readInt64();
      case 0xd4:
        return this.readExtension(1);
      case 0xd5:
        return this.readExtension(2);
      case 0xd6:
        return this.readExtension(4);
      case 0xd7:
        return this.readExtension(8);
      case 0xd8:
        return this.readExtension(16);
      case 0xd9:
        return this.readString(this.readUint8());
      case 0xda:
        return this.readString(this.readUint16());
      case 0xdb:
        return this.readString(this.readUint32());
      case 0xdc:
        return this.readArray(this.claim(this.readUint16(), 1), depth);
      case 0xdd:
        return this.readArray(this.claim(this.readUint32(), 1), depth);
      case 0xde:
        return this.readMap(this.claim(this.readUint16(), 2), depth);
      case 0xdf:
        return this.readMap(this.claim(this.readUint32(), 2), depth);
    }
    throw this.fail(ErrorCode.MALFORMED_PAYLOAD, "0xc1 is not a MessagePack type");
  }

  private readMap(count: number, depth: number): Record<string, unknown> {
    if (depth >= MAX_DEPTH) throw this.tooDeep();
    this.charge(MAP_COST + count * KNOWN_KEY_COST);
    if (count > MAX_SHAPE_KEYS) this.charge(HASH_TABLE_COST);
    const map: Record<string, unknown> = {};
    const shape = this.shapes[depth] as string[];
    let isKnown = true;
    let room = 0;
    for (let i = 0; i < count; i++) {
      const key = this.readKey();
      if (!isKnown || i >= MAX_SHAPE_KEYS || key !== shape[i]) {
        isKnown = false;
        this.charge((i < MAX_SHAPE_KEYS ? NEW_KEY_COST : LATER_KEY_COST) + key.length * BYTE_COST);
        const isIndex = ARRAY_INDEX.test(key);
        if (isIndex) room = this.chargeIndex(Number(key), room);
        if (i < MAX_SHAPE_KEYS) shape[i] = isIndex || key.length > MAX_CACHED_KEY_BYTES ? "" : key;
      }
      map[key] = this.readValue(depth + 1);
    }
    return map;
  }

  private readArray(count: number, depth: number): unknown[] {
    if (depth >= MAX_DEPTH) throw this.tooDeep();
    this.charge(ARRAY_COST + count * SLOT_COST);
    if (count === 0) return [];
    const array = new Array<unknown>(count);
    for (let i = 0; i < count; i++) array[i] = this.readValue(depth + 1);
    return array;
  }

  /** Throws before a value is made for which the budget has no room. */
  private charge(cost: number): void {
    this.cost += cost;
    if (this.cost > this.maxCost) {
      const problem = `its values take more than ${this.maxCost} bytes of memory, which maxMessageBytes allows`;
      throw this.fail(ErrorCode.DECODED_TOO_LARGE, `${problem}; send it in parts, or as binary data`);
    }
  }

  /**
   * Charges an integer key.
   * @param room how many integers from 0 the map has room for
   * @returns that with this key
   */
  private chargeIndex(index: number, room: number): number {
    if (index < room) return room;
    if (index >= room + MAX_INDEX_GAP) {
      this.charge(SPARSE_INDEX_COST);
      return room;
    }
    const grown = index + (index >> 1) + INDEX_SLACK;
    this.charge((grown - room) * INDEX_COST);
    return grown;
  }

  /** Elements take at least a byte each, so reject a count above the remaining bytes before allocating. */
  private claim(count: number, bytesEach: number): number {
    const remaining = this.end - this.position;
    if (count * bytesEach > remaining) {
      const what = bytesEach === 2 ? "entries" : "elements";
      throw this.fail(
        ErrorCode.COUNT_EXCEEDS_PAYLOAD,
        `a header claims ${count} ${what}, and ${remaining} bytes remain`,
      );
    }
    return count;
  }

  private readKey(): string {
    if (this.position >= this.end) throw this.truncated();
    const length = this.readStringLength();
    if (length < 0) {
      throw this.fail(ErrorCode.FORBIDDEN_KEY, "a map key is not a string");
    }
    return this.readRepeated(length, true);
  }

  /** Reads a string's header and returns its length; -1 without reading if it isn't a string. */
  private readStringLength(): number {
    const at = this.position;
    const head = at < this.end ? (this.bytes[at] as number) : 0;
    if (head >= 0xa0 && head < 0xc0) {
      this.position = at + 1;
      return head & 0x1f;
    }
    if (head < 0xd9 || head > 0xdb) return -1;
    this.position = at + 1;
    if (head === 0xd9) return this.readUint8();
    return head === 0xda ? this.readUint16() : this.readUint32();
  }

  /** Reads the `length` bytes of a string through the cache, which never contains forbidden keys. */
  private readRepeated(length: number, isKey: boolean): string {
    if (length === 0 || length > MAX_CACHED_KEY_BYTES) return this.readString(length);
    const at = this.position;
    if (this.end - at < length) throw this.truncated();
    const found = this.keys.find(this.bytes, at, length);
    if (found !== "") {
      this.position = at + length;
      return found;
    }
    const text = this.readString(length);
    if (isForbiddenKey(text)) {
      if (!isKey) return text;
      throw this.fail(ErrorCode.FORBIDDEN_KEY, `the map key ${text} is not allowed`);
    }
    // As many characters as bytes means ASCII.
    if (text.length === length) this.keys.store(text, this.bytes, at);
    return text;
  }

  private readString(length: number): string {
    const start = this.position;
    const end = start + length;
    if (end > this.end) throw this.truncated();
    this.charge(STRING_COST + length * BYTE_COST);
    this.position = end;
    const bytes = this.bytes;
    const ascii = length <= MAX_SHORT_STRING_BYTES ? asciiString(bytes, start, length) : null;
    return ascii ?? this.decodeUtf8(start, end);
  }

  private readBinary(length: number): Uint8Array {
    const start = this.position;
    if (this.end - start < length) throw this.truncated();
    this.charge(BINARY_COST + length * BYTE_COST);
    this.position = start + length;
    const bytes = this.bytes;
    // A referenced binary never retains more than four times its size.
    if (this.exclusive && length >= MIN_ALIASED_BYTES && length * 4 >= bytes.length) {
      this.aliased = true;
      return new Uint8Array(bytes.buffer, bytes.byteOffset + start, length);
    }
    const copy = length < MIN_ALIASED_BYTES ? new Uint8Array(length) : this.memory.allocate(length).subarray(0, length);
    copy.set(bytes.subarray(start, start + length));
    return copy;
  }

  private readExtension(length: number): unknown {
    const type = (this.readUint8() << 24) >> 24;
    if (type === EXT_TIMESTAMP) return this.readTimestamp(length);
    this.charge(EXTENSION_COST);
    return new ExtData(type, this.readBinary(length));
  }

  /** Seconds, or nanoseconds (30 bits) and seconds (34 bits), or nanoseconds (32 bits) and seconds (signed, 64 bits). */
  private readTimestamp(length: number): Date {
    if (length !== 4 && length !== 8 && length !== 12) {
      throw this.fail(ErrorCode.MALFORMED_PAYLOAD, `a timestamp takes 4, 8 or 12 bytes, not ${length}`);
    }
    this.charge(DATE_COST);
    let nanoseconds = 0;
    let seconds = 0;
    if (length === 4) {
      seconds = this.readUint32();
    } else if (length === 8) {
      const high = this.readUint32();
      nanoseconds = high >>> 2;
      seconds = (high & 3) * 0x1_0000_0000 + this.readUint32();
    } else {
      nanoseconds = this.readUint32();
      seconds = (this.readUint32() | 0) * 0x1_0000_0000 + this.readUint32();
    }
    if (nanoseconds > 999_999_999) {
      throw this.fail(ErrorCode.MALFORMED_PAYLOAD, `a timestamp has ${nanoseconds} nanoseconds`);
    }
    const date = new Date(seconds * 1000 + nanoseconds / 1_000_000);
    if (nanoseconds % 1_000_000 === 0 && !Number.isNaN(date.getTime())) return date;
    const held = "a Date holds milliseconds, up to 100,000,000 days from 1970";
    const problem = `a timestamp of ${seconds} s and ${nanoseconds} ns has no exact Date: ${held}`;
    throw this.fail(ErrorCode.UNREPRESENTABLE_VALUE, problem);
  }

  private readUint8(): number {
    const at = this.position;
    if (at >= this.end) throw this.truncated();
    this.position = at + 1;
    return this.bytes[at] as number;
  }

  private readUint16(): number {
    const at = this.position;
    if (this.end - at < 2) throw this.truncated();
    this.position = at + 2;
    return ((this.bytes[at] as number) << 8) | (this.bytes[at + 1] as number);
  }

  private readUint32(): number {
    const at = this.position;
    if (this.end - at < 4) throw this.truncated();
    this.position = at + 4;
    const bytes = this.bytes;
    return (
      (((bytes[at] as number) << 24) |
        ((bytes[at + 1] as number) << 16) |
        ((bytes[at + 2] as number) << 8) |
        (bytes[at + 3] as number)) >>>
      0
    );
  }

  private readUint64(): number | bigint {
    const high = this.readUint32();
    const low = this.readUint32();
    return high <= 0x1f_ffff ? high * 0x1_0000_0000 + low : (BigInt(high) << 32n) | BigInt(low);
  }

  private readInt64(): number | bigint {
    const high = this.readUint32() | 0;
    const low = this.readUint32();
    // Rounding never turns an unsafe integer into a safe one, so this check is exact.
    const value = high * 0x1_0000_0000 + low;
    return Number.isSafeInteger(value) ? value : (BigInt(high) << 32n) | BigInt(low);
  }

  private readFloat32(): number {
    const at = this.position;
    if (this.end - at < 4) throw this.truncated();
    this.position = at + 4;
    for (let i = 0; i < 4; i++) float32Bytes[LITTLE_ENDIAN ? 3 - i : i] = this.bytes[at + i] as number;
    return float32[0] as number;
  }

  private readFloat64(): number {
    const at = this.position;
    if (this.end - at < 8) throw this.truncated();
    this.position = at + 8;
    for (let i = 0; i < 8; i++) float64Bytes[LITTLE_ENDIAN ? 7 - i : i] = this.bytes[at + i] as number;
    return float64[0] as number;
  }

  private decodeUtf8(start: number, end: number): string {
    this.charge(UTF8_COST);
    try {
      return utf8.decode(this.bytes.subarray(start, end));
    } catch (cause) {
      throw this.fail(ErrorCode.INVALID_UTF8, `a string of ${end - start} bytes is not valid UTF-8`, cause);
    }
  }

  private truncated(): ConduitError {
    return this.fail(ErrorCode.TRUNCATED_PAYLOAD, `it ends inside a value, ${this.end - this.position} bytes remain`);
  }

  private tooDeep(): ConduitError {
    return this.fail(ErrorCode.TOO_DEEP, `it nests deeper than ${MAX_DEPTH} levels`);
  }

  private fail(code: number, problem: string, cause?: unknown): ConduitError {
    this.bytes = EMPTY;
    return new ConduitError(code, `Cannot decode payload: ${problem}`, { cause });
  }
}

/** Whether `key` is a property of every object, which would allow prototype pollution. */
export function isForbiddenKey(key: string): boolean {
  return key === "__proto__" || key === "constructor" || key === "prototype";
}
