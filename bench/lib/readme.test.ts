import { expect, test } from "vitest";
import { MarkerError, replaceBetweenMarkers } from "./readme.ts";

const TEXT = "before\n<!-- results:begin -->\nold\n<!-- results:end -->\nafter\n";

test("only the text between the markers is replaced", () => {
  expect(replaceBetweenMarkers(TEXT, "results", "\nnew\n\n")).toBe(
    "before\n<!-- results:begin -->\n\nnew\n\n<!-- results:end -->\nafter\n",
  );
});

test("replacing twice equals replacing once", () => {
  const once = replaceBetweenMarkers(TEXT, "results", "new $& $1");
  expect(replaceBetweenMarkers(once, "results", "new $& $1")).toBe(once);
});

test.each([
  ["no markers", "before\nafter\n"],
  ["an end before its beginning", "<!-- results:end --><!-- results:begin -->"],
  ["no end", "<!-- results:begin -->"],
  ["two beginnings", `${TEXT}<!-- results:begin -->`],
  ["two ends", `${TEXT}<!-- results:end -->`],
])("a text with %s is refused", (_what, text) => {
  expect(() => replaceBetweenMarkers(text, "results", "new")).toThrow(MarkerError);
});
