import { encode } from "@msgpack/msgpack";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { encodeTextMap } from "./text-map.ts";

type Texts = { [key: string]: string | boolean | Texts };

/** Cyclic. */
const cyclic: Record<string, unknown> = {};
cyclic.self = cyclic;

describe("encodeTextMap", () => {
  test("gives the library's bytes for maps of texts, booleans and maps", () => {
    const { map } = fc.letrec<{ map: Texts; value: string | boolean | Texts }>((tie) => ({
      map: fc.dictionary(fc.string(), tie("value"), { maxKeys: 18 }),
      value: fc.oneof(fc.string({ maxLength: 300, size: "max" }), fc.boolean(), tie("map")),
    }));
    fc.assert(
      fc.property(map, (value) => {
        const bytes = encodeTextMap(value);
        if (bytes !== null) expect(bytes).toEqual(encode(value));
      }),
    );
  });

  test.each([31, 32, 255])("takes a text of %d letters", (length) => {
    const value = { text: "x".repeat(length) };
    expect(encodeTextMap(value)).toEqual(encode(value));
  });

  test("takes 15 entries", () => {
    const value = Object.fromEntries(Array.from({ length: 15 }, (_, index) => [`key ${index}`, true]));
    expect(encodeTextMap(value)).toEqual(encode(value));
  });

  test.each<[string, Record<string, unknown>]>([
    ["a text of 256 letters", { text: "x".repeat(256) }],
    ["a text that is not ASCII", { text: "é" }],
    ["a key that is not ASCII", { é: true }],
    ["16 entries", Object.fromEntries(Array.from({ length: 16 }, (_, index) => [`key ${index}`, true]))],
    ["more than 1,024 bytes", Object.fromEntries(Array.from({ length: 5 }, (_, key) => [key, "x".repeat(255)]))],
    [
      "nothing but the memory's last byte left",
      { a: "x".repeat(255), b: "x".repeat(255), c: "x".repeat(255), d: "x".repeat(243), e: true },
    ],
    ["itself", cyclic],
    ["a number", { code: 1 }],
    ["undefined", { left: undefined }],
    ["null", { nothing: null }],
    ["an array", { list: [] }],
    ["bytes", { bytes: new Uint8Array(1) }],
    ["an object of a class", { date: new Date(0) }],
    ["the key __proto__", JSON.parse('{"__proto__": true}')],
  ])("leaves what holds %s to the library", (_what, value) => {
    expect(encodeTextMap(value)).toBeNull();
  });
});
