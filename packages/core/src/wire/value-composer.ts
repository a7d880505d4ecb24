/**
 * The slow path of encoding, for values that `@msgpack/msgpack` alone would reject, lose or change. It writes container
 * headers itself and leaf values through the library, and tracks the path for error messages.
 */
import { type Encoder, EXT_TIMESTAMP, ExtData, encodeTimestampExtension } from "@msgpack/msgpack";
import { ConduitError, ErrorCode } from "../errors.ts";
import { MAX_DEPTH } from "../limits.ts";
import { Float64 } from "./float64.ts";
import { isForbiddenKey } from "./value-reader.ts";

/** Maximum nesting of a value: the envelope around it is the first of MAX_DEPTH levels. */
export const MAX_VALUE_DEPTH: number = MAX_DEPTH - 1;
const NIL = 0xc0;
const INITIAL_BYTES = 1024;
const MAX_PATH_CHARACTERS = 200;
const MAX_BINARY_BYTES = 0xffff_ffff;
const MAX_UINT64 = 0xffff_ffff_ffff_ffffn;
const MIN_INT64 = -0x8000_0000_0000_0000n;

/** Binary data omitted from the composed bytes, to be inserted before the byte `at`. */
export interface LargeBinary {
  readonly at: number;
  readonly bytes: Uint8Array;
}

/**
 * Binary data of at least this size is omitted from the composed bytes, so that it is copied once instead of three
 * times.
 */
export const LARGE_BINARY_BYTES: number = 16 * 1024;

/** How to send values that are often sent by mistake, by their tag. */
const ADVICE: Readonly<Record<string, string>> = {
  Promise: "await it first",
  Set: "send an array, [...set]",
  Error: "a handler throws it, or returns error(…)",
  Generator: "register the handler that returns it with `stream`, or send [...items]",
};

/** Composes one value at a time; reusable. Must not be called from a getter of the value. */
export class ValueComposer {
  private readonly leaves: Encoder;
  private bytes: Uint8Array<ArrayBuffer> = new Uint8Array(0);
  private view: DataView<ArrayBuffer> = new DataView(this.bytes.buffer);
  private length = 0;
  /** Large data of the last value, in order; null if there is none. */
  large: readonly LargeBinary[] | null = null;
  private found: LargeBinary[] = [];
  /** Keys from the root to the current value, and the containers along that path. */
  private path: (string | number)[] = [];
  private ancestors: object[] = [];

  /** @param leaves encodes leaf values; must not be an encoder that is in use */
  constructor(leaves: Encoder) {
    this.leaves = leaves;
  }

  /**
   * Encodes `value`. The result is valid until the next call.
   * @throws ConduitError UNSERIALIZABLE with the path of the invalid value
   */
  compose(value: unknown, rootName: string): Uint8Array {
    this.length = 0;
    this.path = [rootName];
    this.ancestors = [];
    this.found = [];
    this.write(value);
    this.large = this.found.length === 0 ? null : this.found;
    return this.bytes.subarray(0, this.length);
  }

  private write(value: unknown): void {
    switch (typeof value) {
      case "undefined":
        this.writeByte(NIL);
        return;
      case "number":
        if (Object.is(value, value & 0x7f)) this.writeByte(value);
        else if (Object.is(value, -0)) this.writeFloat64(value);
        else this.append(this.leaves.encodeSharedRef(value));
        return;
      case "boolean":
        this.append(this.leaves.encodeSharedRef(value));
        return;
      case "string":
        this.writeString(value);
        return;
      case "bigint":
        this.writeBigInt(value);
        return;
      case "object":
        if (value === null) this.writeByte(NIL);
        else this.writeObject(value);
        return;
    }
    throw this.refuse(`a ${typeof value} has no MessagePack form`);
  }

  private writeString(text: string): void {
    if (!isWellFormed(text)) throw this.refuse("a string with a lone surrogate has no UTF-8 form");
    this.append(this.leaves.encodeSharedRef(text));
  }

  private writeFloat64(value: number): void {
    this.writeByte(0xcb);
    const at = this.reserve(8);
    this.view.setFloat64(at, value);
  }

  private writeBigInt(value: bigint): void {
    if (value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER)) {
      this.append(this.leaves.encodeSharedRef(Number(value)));
      return;
    }
    if (value > MAX_UINT64 || value < MIN_INT64) throw this.refuse(`the bigint ${value} does not fit 64 bits`);
    this.writeByte(value < 0n ? 0xd3 : 0xcf);
    const at = this.reserve(8);
    this.view.setBigUint64(at, BigInt.asUintN(64, value));
  }

  private writeObject(value: object): void {
    if (Array.isArray(value)) {
      this.enter(value);
      const { length } = value;
      this.writeHeader(length, 0x90, 0xdc);
      for (let i = 0; i < length; i++) this.writeAt(i, this.read(value, i));
      this.ancestors.pop();
    } else if (value instanceof Uint8Array) {
      this.writeBinary(value);
    } else if (value instanceof ArrayBuffer) {
      this.writeBinary(new Uint8Array(value));
    } else if (value instanceof Float64) {
      this.writeFloat64(value.value);
    } else if (value instanceof Date) {
      if (Number.isNaN(value.getTime())) throw this.refuse("an invalid Date has no MessagePack form");
      this.append(this.leaves.encodeSharedRef(encodeDate(value)));
    } else if (value instanceof ExtData) {
      this.append(this.leaves.encodeSharedRef(value));
    } else if (value instanceof Map) {
      this.writeMap(value);
    } else {
      this.writeOther(value);
    }
  }

  /** A class instance, or a value of another realm, such as a `vm` context or Jest's. */
  private writeOther(value: object): void {
    const tag = Object.prototype.toString.call(value).slice(8, -1);
    if (isStream(value)) {
      const advice =
        "send its items with the option `input` of a call, or return it from a handler registered with `stream`";
      throw this.refuse(`an async iterable isn't data; ${advice}`);
    }
    switch (tag) {
      case "Object":
        this.writeEntries(value, Object.keys(value));
        return;
      // The methods below throw if the value only pretends to be one.
      case "Uint8Array": {
        const { buffer, byteOffset, length } = value as Uint8Array;
        this.writeBinary(new Uint8Array(buffer, byteOffset, length));
        return;
      }
      case "ArrayBuffer":
        this.writeBinary(new Uint8Array(ArrayBuffer.prototype.slice.call(value)));
        return;
      case "Date":
        this.writeObject(new Date(Date.prototype.getTime.call(value)));
        return;
      case "Map":
        this.writeMap(new Map(Map.prototype.entries.call(value)));
        return;
    }
    const advice = Object.hasOwn(ADVICE, tag) ? `; ${ADVICE[tag]}` : "";
    throw this.refuse(`${/^[AEIO]/.test(tag) ? "an" : "a"} ${tag} has no MessagePack form${advice}`);
  }

  private writeBinary(bytes: Uint8Array): void {
    const { length } = bytes;
    if (length < LARGE_BINARY_BYTES) {
      this.append(this.leaves.encodeSharedRef(bytes));
      return;
    }
    if (length > MAX_BINARY_BYTES) throw this.refuse(`${length} bytes are more than MessagePack has a form for`);
    const isShort = length < 0x1_0000;
    this.writeByte(isShort ? 0xc5 : 0xc6);
    const at = this.reserve(isShort ? 2 : 4);
    if (isShort) this.view.setUint16(at, length);
    else this.view.setUint32(at, length);
    this.found.push({ at: this.length, bytes });
  }

  private writeMap(map: Map<unknown, unknown>): void {
    const keys: string[] = [];
    for (const key of map.keys()) {
      if (typeof key !== "string") throw this.refuse(`a Map key of type ${typeof key} is not a string`);
      keys.push(key);
    }
    this.writeEntries(map, keys);
  }

  private writeEntries(container: object, keys: readonly string[]): void {
    this.enter(container);
    const present: string[] = [];
    const values: unknown[] = [];
    for (const key of keys) {
      const value = this.read(container, key);
      if (value === undefined) continue;
      if (isForbiddenKey(key)) throw this.refuse(`the key ${key} is not allowed`);
      present.push(key);
      values.push(value);
    }
    this.writeHeader(present.length, 0x80, 0xde);
    for (let i = 0; i < present.length; i++) {
      const key = present[i] as string;
      this.path.push(key);
      this.writeString(key);
      this.write(values[i]);
      this.path.pop();
    }
    this.ancestors.pop();
  }

  private writeAt(index: number, value: unknown): void {
    this.path.push(index);
    this.write(value);
    this.path.pop();
  }

  private read(container: object, key: string | number): unknown {
    try {
      return container instanceof Map ? container.get(key) : (container as Record<string | number, unknown>)[key];
    } catch (cause) {
      this.path.push(key);
      throw this.refuse("reading it threw an error", cause);
    }
  }

  private enter(container: object): void {
    if (this.ancestors.includes(container)) throw this.refuse("it contains itself");
    if (this.ancestors.length >= MAX_VALUE_DEPTH) throw this.refuse(`it nests deeper than ${MAX_VALUE_DEPTH} levels`);
    this.ancestors.push(container);
  }

  private writeHeader(count: number, fixed: number, wide: number): void {
    if (count < 16) {
      this.writeByte(fixed | count);
    } else if (count < 0x1_0000) {
      this.writeByte(wide);
      const at = this.reserve(2);
      this.view.setUint16(at, count);
    } else {
      this.writeByte(wide + 1);
      const at = this.reserve(4);
      this.view.setUint32(at, count);
    }
  }

  private writeByte(byte: number): void {
    const at = this.reserve(1);
    this.bytes[at] = byte;
  }

  private append(bytes: Uint8Array): void {
    const at = this.reserve(bytes.length);
    this.bytes.set(bytes, at);
  }

  /** Reserves `count` bytes and returns their position. */
  private reserve(count: number): number {
    const at = this.length;
    const length = at + count;
    if (length > this.bytes.length) {
      const larger = new Uint8Array(Math.max(length, this.bytes.length * 2, INITIAL_BYTES));
      larger.set(this.bytes.subarray(0, at));
      this.bytes = larger;
      this.view = new DataView(larger.buffer);
    }
    this.length = length;
    return at;
  }

  private refuse(reason: string, cause?: unknown): ConduitError {
    let path = String(this.path[0]);
    for (const name of this.path.slice(1)) {
      if (path.length > MAX_PATH_CHARACTERS) {
        path += "…";
        break;
      }
      if (typeof name === "number") path += `[${name}]`;
      else if (path === "") path = name;
      else path += /^[\p{L}_$][\p{L}\p{N}_$]*$/u.test(name) ? `.${name}` : `[${JSON.stringify(name)}]`;
    }
    return new ConduitError(ErrorCode.UNSERIALIZABLE, `Cannot encode ${path}: ${reason}`, { details: { path }, cause });
  }
}

/** Whether a value is an async iterable or a web stream, which has items but isn't one. */
function isStream(value: object): boolean {
  const { [Symbol.asyncIterator]: items, getReader } = value as Partial<AsyncIterable<unknown> & ReadableStream>;
  return typeof items === "function" || typeof getReader === "function";
}

/** Whether `text` can be encoded as UTF-8. */
export function isWellFormed(text: string): boolean {
  // ES2024: all supported runtimes have it, the compiler's library doesn't.
  return (text as unknown as { isWellFormed(): boolean }).isWellFormed();
}

/** Encodes a Date as the library does. */
export function encodeDate(date: Date): ExtData {
  return new ExtData(EXT_TIMESTAMP, encodeTimestampExtension(date) as Uint8Array);
}
