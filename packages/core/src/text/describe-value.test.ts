import { describe, expect, test } from "vitest";
import { clip, describeKind, describeValue } from "./describe-value.ts";

describe("describeValue", () => {
  test.each([
    ["text", '"text"'],
    [Number.NaN, "NaN"],
    [-5, "-5"],
    [10n, "10n"],
    [true, "true"],
    [undefined, "undefined"],
    [null, "null"],
    [[1, 2], "an array"],
    [{ a: 1 }, "an object"],
    [Symbol("s"), "a symbol"],
    [() => 1, "a function"],
  ])("describes %s as %s", (value, expected) => {
    expect(describeValue(value)).toBe(expected);
  });

  test("clips a long string, so that a message does not carry a megabyte of input", () => {
    expect(describeValue("x".repeat(1_000_000)).length).toBeLessThan(60);
  });

  test("runs no code of the value", () => {
    const trap = new Proxy(
      {},
      {
        get() {
          throw new Error("touched");
        },
      },
    );
    expect(describeValue(trap)).toBe("an object");
  });
});

describe("clip", () => {
  test("leaves text that fits as it is", () => {
    expect(clip("abc", 3)).toBe("abc");
  });

  test("cuts longer text to the length asked for, ellipsis included", () => {
    expect(clip("abcdef", 4)).toBe("abc…");
  });

  test("does not split a surrogate pair", () => {
    expect(clip("ab😀cd", 4)).toBe("ab…");
  });
});

describe("describeKind", () => {
  test.each([
    ["hunter2", "a string"],
    ["", "an empty string"],
    [12345, "a number"],
    [null, "null"],
    [undefined, "undefined"],
    [[], "an array"],
    [{}, "an object"],
  ])("never shows the value itself (%j)", (value, expected) => {
    expect(describeKind(value)).toBe(expected);
  });
});
