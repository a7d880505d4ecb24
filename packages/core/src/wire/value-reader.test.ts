import { Decoder, Encoder, ExtData } from "@msgpack/msgpack";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { ErrorCodeName } from "../error-codes.ts";
import { ErrorCode } from "../errors.ts";
import { MAX_DEPTH } from "../limits.ts";
import { ValueReader } from "./value-reader.ts";

function read(input: Uint8Array | readonly number[], exclusive = false): unknown {
  const bytes = Uint8Array.from(input);
  return new ValueReader().decode(bytes, 0, bytes.length, exclusive);
}

function hex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text.replaceAll(" ", ""), "hex"));
}

function refusing(code: ErrorCodeName): unknown {
  return expect.objectContaining({ name: expect.stringMatching(/^ConduitError /), code: ErrorCode[code] });
}

/** Encodes `depth` nested arrays. */
function nested(depth: number): number[] {
  return [...new Array<number>(depth - 1).fill(0x91), 0x90];
}

const keys = fc.string().filter((key) => !["__proto__", "constructor", "prototype"].includes(key));
const { value: values } = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom(null, true, false),
    fc.maxSafeInteger(),
    fc.double(),
    fc.string({ unit: "binary" }),
    fc.string({ minLength: 20, maxLength: 70 }),
    fc.uint8Array(),
    fc.date({ noInvalidDate: true, min: new Date(0), max: new Date(2 ** 33 * 1000) }),
    fc.array(tie("value"), { maxLength: 20 }),
    fc.dictionary(keys, tie("value"), { maxKeys: 20, noNullPrototype: true }),
  ),
}));

describe("ValueReader", () => {
  test.each([
    ["00", 0],
    ["7f", 127],
    ["e0", -32],
    ["ff", -1],
    ["c0", null],
    ["c2", false],
    ["c3", true],
    ["cc ff", 255],
    ["cd ffff", 65_535],
    ["ce ffffffff", 4_294_967_295],
    ["d0 80", -128],
    ["d1 8000", -32_768],
    ["d2 80000000", -2_147_483_648],
    ["ca 3fc00000", 1.5],
    ["cb 3ff8000000000000", 1.5],
    ["cb 7ff0000000000000", Number.POSITIVE_INFINITY],
    ["cb 8000000000000000", -0],
    ["a0", ""],
    ["a3 616263", "abc"],
    ["d9 03 616263", "abc"],
    ["da 0003 616263", "abc"],
    ["db 00000003 616263", "abc"],
    ["a4 f09f918b", "👋"],
    ["a4 efbbbf61", "\ufeffa"],
    ["90", []],
    ["92 01 a161", [1, "a"]],
    ["dc 0001 01", [1]],
    ["dd 00000001 01", [1]],
    ["80", {}],
    ["81 a161 01", { a: 1 }],
    ["de 0001 a161 01", { a: 1 }],
    ["df 00000001 d90161 01", { a: 1 }],
    ["81 a0 01", { "": 1 }],
    ["c4 02 0102", new Uint8Array([1, 2])],
    ["c5 0002 0102", new Uint8Array([1, 2])],
    ["c6 00000002 0102", new Uint8Array([1, 2])],
    ["d6 ff 00000001", new Date(1000)],
    ["d7 ff 0bebc200 00000001", new Date(1050)],
    ["c7 0c ff 00000000 ffffffffffffffff", new Date(-1000)],
    ["c7 0c ff 3b8b87c0 ffffffffffffffff", new Date(-1)],
    ["c7 0c ff 00000000 000007dba8218000", new Date(8_640_000_000_000_000)],
    ["d4 05 2a", new ExtData(5, new Uint8Array([0x2a]))],
    ["c7 03 fe 010203", new ExtData(-2, new Uint8Array([1, 2, 3]))],
  ])("decodes %s", (bytes, value) => {
    expect(read(hex(bytes))).toStrictEqual(value);
  });

  test.each([
    ["cf 001fffffffffffff", 9_007_199_254_740_991],
    ["cf 0020000000000000", 9_007_199_254_740_992n],
    ["cf ffffffffffffffff", 18_446_744_073_709_551_615n],
    ["cf 0000000000000005", 5],
    ["d3 ffe0000000000001", -9_007_199_254_740_991],
    ["d3 ffe0000000000000", -9_007_199_254_740_992n],
    ["d3 001fffffffffffff", 9_007_199_254_740_991],
    ["d3 0020000000000001", 9_007_199_254_740_993n],
    ["d3 8000000000000000", -9_223_372_036_854_775_808n],
    ["d3 ffffffffffffffff", -1],
  ])("never rounds a 64-bit integer: %s is %s", (bytes, value) => {
    expect(read(hex(bytes))).toBe(value);
  });

  test.each<[string, string, ErrorCodeName]>([
    ["nothing", "", "TRUNCATED_PAYLOAD"],
    ["a map without its entry", "81", "TRUNCATED_PAYLOAD"],
    ["a map without its value", "81 a161", "TRUNCATED_PAYLOAD"],
    ["an array without its element", "91", "TRUNCATED_PAYLOAD"],
    ["a string cut short", "a3 6161", "TRUNCATED_PAYLOAD"],
    ["a string that claims 4 GiB", "db ffffffff 61", "TRUNCATED_PAYLOAD"],
    ["a key cut short", "81 a3 61", "TRUNCATED_PAYLOAD"],
    ["a binary that claims 4 GiB", "c6 ffffffff 61", "TRUNCATED_PAYLOAD"],
    ["an extension cut short", "d6 05 00", "TRUNCATED_PAYLOAD"],
    ["an integer cut short", "ce 000000", "TRUNCATED_PAYLOAD"],
    ["a float cut short", "cb 000000", "TRUNCATED_PAYLOAD"],
    ["an array of more elements than bytes", "dc 0003 0102", "COUNT_EXCEEDS_PAYLOAD"],
    ["an array that claims 4 G elements", "dd ffffffff", "COUNT_EXCEEDS_PAYLOAD"],
    ["a map of more entries than bytes allow", "de 0002 a161 01", "COUNT_EXCEEDS_PAYLOAD"],
    ["a map that claims 4 G entries", "df ffffffff", "COUNT_EXCEEDS_PAYLOAD"],
    ["bytes behind the value", "c0 c0", "TRAILING_BYTES"],
    ["the byte that is no type", "c1", "MALFORMED_PAYLOAD"],
    ["a timestamp of 3 bytes", "c7 03 ff 000000", "MALFORMED_PAYLOAD"],
    ["a timestamp of a billion nanoseconds", "d7 ff ee6b2800 00000000", "MALFORMED_PAYLOAD"],
    ["a timestamp past what a Date holds", "c7 0c ff 00000000 7fffffffffffffff", "UNREPRESENTABLE_VALUE"],
    ["a timestamp of a nanosecond", "d7 ff 00000004 00000000", "UNREPRESENTABLE_VALUE"],
    ["a timestamp of a microsecond before 1970", "c7 0c ff 000003e8 ffffffffffffffff", "UNREPRESENTABLE_VALUE"],
    ["an integer key", "81 01 01", "FORBIDDEN_KEY"],
    ["a nil key", "81 c0 01", "FORBIDDEN_KEY"],
    ["the key __proto__", "81 a9 5f5f70726f746f5f5f 01", "FORBIDDEN_KEY"],
    ["the key __proto__ with a long header", "81 da0009 5f5f70726f746f5f5f 01", "FORBIDDEN_KEY"],
    ["the key constructor", "81 ab 636f6e7374727563746f72 01", "FORBIDDEN_KEY"],
    ["the key prototype", "81 a9 70726f746f74797065 01", "FORBIDDEN_KEY"],
    ["a lone continuation byte", "a1 80", "INVALID_UTF8"],
    ["an overlong form", "a2 c0af", "INVALID_UTF8"],
    ["a surrogate", "a3 eda080", "INVALID_UTF8"],
    ["a key that is not UTF-8", "81 a1 ff 01", "INVALID_UTF8"],
  ])("refuses %s", (_what, bytes, code) => {
    expect(() => read(hex(bytes))).toThrow(refusing(code));
  });

  test("refuses a long string that is not UTF-8", () => {
    expect(() => read([0xd9, 40, ...new Array<number>(39).fill(0x61), 0xff])).toThrow(refusing("INVALID_UTF8"));
  });

  test("takes forbidden keys as values", () => {
    expect(read(hex("a9 5f5f70726f746f5f5f"))).toBe("__proto__");
  });

  test(`takes ${MAX_DEPTH} levels and refuses one more`, () => {
    expect(() => read(nested(MAX_DEPTH))).not.toThrow();
    expect(() => read(nested(MAX_DEPTH + 1))).toThrow(refusing("TOO_DEEP"));
  });

  test("reads the range it is given and nothing else", () => {
    expect(new ValueReader().decode(hex("ff a3616263 ff"), 1, 5, false)).toBe("abc");
  });

  test("copies binaries, so that they do not change with the chunk", () => {
    const bytes = hex("c4 02 0102");
    const value = new ValueReader().decode(bytes, 0, bytes.length, false);
    bytes.fill(0);
    expect(value).toStrictEqual(new Uint8Array([1, 2]));
  });

  test("refers to bytes of its own for a binary that is most of them, and copies the rest", () => {
    const bytes = new Uint8Array(Buffer.concat([hex("92 c52000"), new Uint8Array(0x2000), hex("c4020102")]));
    const [large, small] = new ValueReader().decode(bytes, 0, bytes.length, true) as Uint8Array[];
    expect([large?.buffer === bytes.buffer, small?.buffer === bytes.buffer]).toEqual([true, false]);
  });

  test("copies large binaries to memory of the kind it was told", () => {
    const memory = { allocate: (bytes: number) => new Uint8Array(bytes + 7), release: () => undefined };
    const bytes = new Uint8Array(Buffer.concat([hex("c52000"), new Uint8Array(0x2000).fill(9)]));
    const value = new ValueReader(memory).decode(bytes, 0, bytes.length, false) as Uint8Array;
    expect([value.buffer.byteLength, value.length, value.every((byte) => byte === 9)]).toEqual([0x2007, 0x2000, true]);
  });

  test("gives plain arrays for binaries even out of Node's Buffers", () => {
    const bytes = Buffer.concat([hex("c52000"), new Uint8Array(0x2000)]);
    const value = new ValueReader().decode(bytes, 0, bytes.length, true) as Uint8Array;
    expect(Object.getPrototypeOf(value)).toBe(Uint8Array.prototype);
  });

  test("is usable after an error", () => {
    const reader = new ValueReader();
    expect(() => reader.decode(hex("92 a161"), 0, 3, false)).toThrow();
    expect(reader.decode(hex("91 a161"), 0, 3, false)).toEqual(["a"]);
  });

  test("agrees with @msgpack/msgpack's Decoder on whatever its Encoder writes", () => {
    const reader = new ValueReader();
    const encoder = new Encoder({ maxDepth: MAX_DEPTH });
    const decoder = new Decoder();
    const property = fc.property(values, (value) => {
      const bytes = encoder.encode(value);
      expect(reader.decode(bytes, 0, bytes.length, false)).toStrictEqual(decoder.decode(bytes));
    });
    fc.assert(property, { numRuns: 300 });
  });

  test("agrees with it on random bytes too, wherever both take them", () => {
    const reader = new ValueReader();
    const decoder = new Decoder({ useBigInt64: true });
    // First bytes of containers and short values, so that more cases are valid.
    const heads = fc.constantFrom(0x81, 0x82, 0x91, 0x92, 0x93, 0xa1, 0x61, 0xc0, 0xca, 0xd9, 0xcf, 0xd3, 0xc4);
    const input = fc.array(fc.oneof(heads, fc.integer({ min: 0, max: 255 })), { maxLength: 24 });
    const property = fc.property(input, (numbers) => {
      const bytes = Uint8Array.from(numbers);
      let ours: unknown;
      try {
        ours = reader.decode(bytes, 0, bytes.length, false);
      } catch (error) {
        expect(error).toMatchObject({ name: expect.stringMatching(/^ConduitError /) });
        return;
      }
      expect(withSafeNumbers(ours)).toStrictEqual(withSafeNumbers(decoder.decode(bytes)));
    });
    fc.assert(property, { numRuns: 2000 });
  });
});

/** Converts bigints that a number represents exactly to numbers, so that both forms compare as equal. */
function withSafeNumbers(value: unknown): unknown {
  if (typeof value === "bigint") return BigInt(Number(value)) === value ? Number(value) : value;
  if (Array.isArray(value)) return value.map(withSafeNumbers);
  if (typeof value !== "object" || value === null || value.constructor !== Object) return value;
  return Object.fromEntries(Object.entries(value).map(([key, element]) => [key, withSafeNumbers(element)]));
}
