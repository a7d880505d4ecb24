import { expect, test } from "vitest";
import { metadataProblem } from "./metadata.ts";

test.each<[string, unknown, string | null]>([
  ["a map of strings", { traceparent: "00-4bf9", "": "😀" }, null],
  ["64 entries", Object.fromEntries(Array.from({ length: 64 }, (_, index) => [String(index), ""])), null],
  ["4,096 characters", { key: "x".repeat(4093) }, null],
  ["one more", { key: "x".repeat(4094) }, "has 4097 characters, more than 4096"],
  ["no map", [], "is not a map"],
  ["a number", { n: 1 }, "has a number at 'n' and not a string"],
  // Receivers reject such keys, so a message with one would be lost.
  ["the key __proto__", JSON.parse('{"__proto__":"x"}'), "has the key '__proto__', which is not allowed"],
  ["the key constructor", { constructor: "x" }, "has the key 'constructor', which is not allowed"],
  // It can't be encoded as UTF-8; the receiver would get another text.
  ["a value with a lone surrogate", { n: "\ud800" }, "has a lone surrogate at 'n'"],
  ["a key with a lone surrogate", { "\udc00": "x" }, "has a lone surrogate at '\udc00'"],
])("of metadata, %s is allowed or not", (_what, meta, problem) => {
  expect(metadataProblem(meta)).toBe(problem);
});
