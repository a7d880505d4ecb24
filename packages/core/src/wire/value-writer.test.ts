import { Encoder, ExtData } from "@msgpack/msgpack";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { MAX_DEPTH } from "../limits.ts";
import { float64 } from "./float64.ts";
import { MAX_VALUE_DEPTH } from "./value-composer.ts";
import { ValueReader } from "./value-reader.ts";
import { ValueWriter } from "./value-writer.ts";

function encode(value: unknown): Uint8Array {
  return new ValueWriter().encode(value, "data").slice();
}

function hexOf(value: unknown): string {
  return Buffer.from(encode(value)).toString("hex");
}

function roundTrip(value: unknown): unknown {
  const bytes = encode(value);
  return new ValueReader().decode(bytes, 0, bytes.length, false);
}

function nested(depth: number, innermost: unknown): unknown {
  let value = innermost;
  for (let i = 0; i < depth; i++) value = [value];
  return value;
}

class Point {
  readonly x = 1;
  readonly y = 2;
  get sum(): number {
    return this.x + this.y;
  }
}

const cyclic: Record<string, unknown> = {};
cyclic["self"] = { back: [cyclic] };
const throwing = {
  get price(): number {
    throw new Error("no price");
  },
};

describe("ValueWriter", () => {
  test.each([
    [null, "c0"],
    [undefined, "c0"],
    [true, "c3"],
    [false, "c2"],
    [0, "00"],
    [127, "7f"],
    [128, "cc80"],
    [255, "ccff"],
    [256, "cd0100"],
    [65_535, "cdffff"],
    [65_536, "ce00010000"],
    [2_147_483_647, "ce7fffffff"],
    [4_294_967_295, "ceffffffff"],
    [4_294_967_296, "cf0000000100000000"],
    [-1, "ff"],
    [-32, "e0"],
    [-33, "d0df"],
    [-2_147_483_648, "d280000000"],
    [1.5, "cb3ff8000000000000"],
    ["abc", "a3616263"],
    [[undefined, 1], "92c001"],
    [{ a: undefined, b: 1 }, "81a16201"],
    [new Uint8Array([1, 2]), "c4020102"],
    [Buffer.from([1, 2]), "c4020102"],
    [new Date(1000), "d6ff00000001"],
    [new ExtData(5, new Uint8Array([42])), "d4052a"],
    [Object.assign(Object.create(null), { a: 1 }), "81a16101"],
  ])("writes %s as the library does", (value, hex) => {
    expect(hexOf(value)).toBe(hex);
  });

  test.each([
    ["a float of a whole number", { a: float64(2) }, "81a161cb4000000000000000"],
    ["a float of minus zero", float64(-0), "cb8000000000000000"],
    ["minus zero", -0, "cb8000000000000000"],
    ["minus zero among zeros", { a: [0, -0], b: 0 }, "82a1619200cb8000000000000000a16200"],
    ["minus zero beside a special value", [1n, -0, 0], "9301cb800000000000000000"],
    ["zeros in the bytes of other numbers", [0, 256, 65_536, 0.5], "9400cd0100ce00010000cb3fe0000000000000"],
    ["a bigint past 2^53", [2n ** 53n], "91cf0020000000000000"],
    ["the largest bigint", 2n ** 64n - 1n, "cfffffffffffffffff"],
    ["the smallest bigint", -(2n ** 63n), "d38000000000000000"],
    ["a small bigint in its shortest form", { a: 5n, b: 300n }, "82a16105a162cd012c"],
    ["a Map with string keys", new Map<string, unknown>([["a", 1], ["b", undefined], ["c", null]]), "82a16101a163c0"], // biome-ignore format: one case, one line
    ["an ArrayBuffer", [new Uint8Array([1, 2]).buffer], "91c4020102"],
    ["a class instance by its own properties", new Point(), "82a17801a17902"],
    ["a subclass of Array", class extends Array<number> {}.from([1, 2]), "920102"],
    ["a subclass of Date", new (class extends Date {})(1000), "d6ff00000001"],
    [
      "leaves beside a special value",
      [5n, true, null, undefined, "é", 1.5, -1],
      "9705c3c0c0a2c3a9cb3ff8000000000000ff",
    ],
  ])("writes %s", (_what, value, hex) => {
    expect(hexOf(value)).toBe(hex);
  });

  test.each([
    ["functions", { users: [1, 2, 3, { onClick() {} }] }, "data.users[3].onClick: a function has no MessagePack form"],
    ["symbols", [Symbol("s")], "data[0]: a symbol has no MessagePack form"],
    ["Sets", { tags: new Set() }, "data.tags: a Set has no MessagePack form; send an array, [...set]"],
    ["Promises", { later: Promise.resolve() }, "data.later: a Promise has no MessagePack form; await it first"],
    ["RegExps", [/x/], "data[0]: a RegExp has no MessagePack form"],
    ["URLs", new URL("http://localhost"), "data: a URL has no MessagePack form"],
    [
      "Errors",
      { cause: new Error("x") },
      "data.cause: an Error has no MessagePack form; a handler throws it, or returns error(…)",
    ],
    [
      "generators",
      (function* () {})(),
      "data: a Generator has no MessagePack form; register the handler that returns it with `stream`, or send [...items]",
    ],
    ["typed arrays other than bytes", { f: new Float32Array(1) }, "data.f: a Float32Array has no MessagePack form"],
    ["DataViews", new DataView(new ArrayBuffer(1)), "data: a DataView has no MessagePack form"],
    ["invalid Dates", { at: new Date(Number.NaN) }, "data.at: an invalid Date has no MessagePack form"],
    ["Maps with other keys", { m: new Map([[1, 2]]) }, "data.m: a Map key of type number is not a string"],
    ["bigints past 64 bits", { n: 2n ** 64n }, "data.n: the bigint 18446744073709551616 does not fit 64 bits"],
    ["bigints below 64 bits", -(2n ** 63n) - 1n, "data: the bigint -9223372036854775809 does not fit 64 bits"],
    ["cycles", cyclic, "data.self.back[0]: it contains itself"],
    ["lone surrogates in short strings", { a: ["\ud800"] }, "data.a[0]: a string with a lone surrogate"],
    ["lone surrogates in long strings", { a: `${"x".repeat(99)}\udfff` }, "data.a: a string with a lone surrogate"],
    ["lone surrogates in keys", { "\ud800": 1 }, 'data["\\ud800"]: a string with a lone surrogate'],
    ["lone surrogates beside much binary data", [new Uint8Array(99), "\ud800"], "data[1]: a string with a lone"],
    ["the key __proto__", JSON.parse('{"a": {"__proto__": 1}}'), "data.a: the key __proto__ is not allowed"],
    ["the key constructor", { constructor: 1 }, "data: the key constructor is not allowed"],
    ["the key prototype", { "a b": { prototype: 1 } }, 'data["a b"]: the key prototype is not allowed'],
    ["getters that throw", { item: throwing }, "data.item.price: reading it threw an error"],
  ])("refuses %s and says where", (_what, value, message) => {
    expect(() => encode(value)).toThrow(
      expect.objectContaining({
        code: ErrorCode.UNSERIALIZABLE,
        message: expect.stringContaining(`Cannot encode ${message}`),
      }),
    );
  });

  test("sends a genuine U+FFFD, and forbidden keys as values", () => {
    const value = { a: "\ufffd", b: "__proto__", c: "prototype", d: new Uint8Array([0xed, 0xa0, 0x80]) };
    expect(roundTrip(value)).toStrictEqual(value);
  });

  test.each([
    ["on the fast path", null],
    ["on the slow path", 5n],
  ])(`takes ${MAX_VALUE_DEPTH} levels, which with the envelope are MAX_DEPTH, %s`, (_path, innermost) => {
    expect(MAX_VALUE_DEPTH).toBe(MAX_DEPTH - 1);
    expect(() => encode(nested(MAX_VALUE_DEPTH, innermost))).not.toThrow();
    expect(() => encode(nested(MAX_VALUE_DEPTH + 1, innermost))).toThrow(/… *: it nests deeper than 127 levels/);
  });

  test("takes a value that stands in two places, which is no cycle", () => {
    const shared = { n: 1n };
    expect(roundTrip([shared, shared])).toEqual([{ n: 1 }, { n: 1 }]);
  });

  test("is not disturbed by getters that encode with it, on either path", () => {
    const writer = new ValueWriter();
    const inner = (value: unknown) => ({
      before: "x",
      get inside() {
        return Buffer.from(writer.encode(value, "inner")).toString("hex");
      },
      after: value,
    });
    const encoded = [{ a: 1 }, { a: 5n }].map((value) => Buffer.from(writer.encode(inner(value), "outer")));
    expect(encoded.map((bytes) => new ValueReader().decode(bytes, 0, bytes.length, false))).toEqual([
      { before: "x", inside: "81a16101", after: { a: 1 } },
      { before: "x", inside: "81a16105", after: { a: 5 } },
    ]);
  });

  test("is usable after an error", () => {
    const writer = new ValueWriter();
    expect(() => writer.encode([() => 0], "data")).toThrow();
    expect(Buffer.from(writer.encode([1], "data")).toString("hex")).toBe("9101");
  });

  test.each([
    ["plain", (text: string): unknown => text],
    ["composed", (text: string): unknown => [5n, text]],
  ])("gives a result over 1 MiB away, so that its memory is not kept: %s", (_path, make) => {
    const writer = new ValueWriter();
    const large = writer.encode(make("x".repeat(1_100_000)), "data");
    const owned = writer.owned;
    const before = Buffer.from(large);
    const small = writer.encode(make("y"), "data");
    expect([owned, writer.owned, small.buffer.byteLength < 10_000, before.equals(large)]).toEqual([
      true,
      false,
      true,
      true,
    ]);
  });

  const keys = fc.string().filter((key) => !["__proto__", "constructor", "prototype"].includes(key));
  const { value: values } = fc.letrec((tie) => ({
    value: fc.oneof(
      { depthSize: "small", withCrossShrink: true },
      fc.constantFrom(null, true, false),
      fc.maxSafeInteger(),
      fc.double(),
      fc.constant(-0),
      fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
      fc.bigInt({ min: -(2n ** 63n), max: -(2n ** 53n) }),
      fc.string({ unit: "binary" }),
      fc.uint8Array(),
      fc.date({ noInvalidDate: true }),
      fc.array(tie("value"), { maxLength: 20 }),
      fc.dictionary(keys, tie("value"), { maxKeys: 20, noNullPrototype: true }),
    ),
  }));

  test("writes what the reader reads back unchanged", () => {
    fc.assert(
      fc.property(values, (value) => {
        expect(roundTrip(value)).toStrictEqual(value);
      }),
      { numRuns: 300 },
    );
  });

  test("composes the very bytes the library writes", () => {
    const encoder = new Encoder({ ignoreUndefined: true });
    // The library encodes -0 as 0.
    const values = [fc.boolean(), fc.integer(), fc.double().map((n) => n || 1), fc.string(), fc.constant(null)];
    const plain = fc.object({ key: keys, values, maxDepth: 5 });
    const property = fc.property(plain, (value) => {
      const composed = encode([1n, value]).subarray(2);
      expect(Buffer.from(composed).equals(encoder.encode(value))).toBe(true);
    });
    fc.assert(property, { numRuns: 200 });
  });

  test("answers any value with bytes that can be read, or with UNSERIALIZABLE", () => {
    const anything = fc.anything({
      withBigInt: true,
      withMap: true,
      withSet: true,
      withDate: true,
      withTypedArray: true,
      withNullPrototype: true,
      withSparseArray: true,
      withUnicodeString: true,
    });
    const property = fc.property(anything, (value) => {
      let bytes: Uint8Array;
      try {
        bytes = encode(value);
      } catch (error) {
        expect(error).toMatchObject({ code: ErrorCode.UNSERIALIZABLE });
        return;
      }
      expect(() => new ValueReader().decode(bytes, 0, bytes.length, false)).not.toThrow();
    });
    fc.assert(property, { numRuns: 500 });
  });
});
