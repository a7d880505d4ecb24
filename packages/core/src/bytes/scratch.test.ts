import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Scratch } from "./scratch.ts";

const utf8 = new TextEncoder();

describe("Scratch", () => {
  test("holds the UTF-8 of all texts that were added, however long", () => {
    const scratch = new Scratch(8);
    fc.assert(
      fc.property(fc.array(fc.string({ unit: "grapheme", maxLength: 600 })), (texts) => {
        scratch.clear();
        for (const text of texts) scratch.add(text);
        expect(scratch.bytes()).toEqual(utf8.encode(texts.join("")));
      }),
    );
  });

  test("adds a part of a text", () => {
    const scratch = new Scratch(8);
    expect([...scratch.add("xabcx", 1, 4).add("xäöx", 1, 3).add("xy", 1).bytes()]).toEqual([...utf8.encode("abcäöy")]);
  });

  test("gives the same array for the same length again", () => {
    const scratch = new Scratch(8);
    const first = scratch.clear().add("abc").bytes();
    expect(scratch.clear().add("def").bytes()).toBe(first);
    expect([...first]).toEqual([...utf8.encode("def")]);
  });

  test("lends as many bytes as are asked for", () => {
    const scratch = new Scratch(8);
    expect([3, 8, 9, 5000].map((length) => scratch.take(length).length)).toEqual([3, 8, 9, 5000]);
  });
});
