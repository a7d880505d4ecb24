import { describe, expect, test, vi } from "vitest";
import { checkFileName, numbered } from "./checked-name.ts";

describe("file names", () => {
  test.each([
    ["a path", "a/b", "must not be in a subfolder"],
    ["a path upwards", "../b", 'must not contain ".."'],
    ["a name that looks like a path", "a／b", "must not look like a path"],
    ["a name that becomes a device in another form", "ＮＵＬ", "must not be the name of a device"],
    ["a number", 5, "must be a non-empty string"],
    ["the folder of unfinished files in other letters", ".NetConduit", "is reserved"],
    ["241 bytes", `${"é".repeat(120)}a`, "must have at most 240 bytes"],
  ])("%s is refused, with the reason", (_, name, reason) => {
    expect(() => checkFileName(name)).toThrow(reason);
  });

  test.each([
    ["of any length", () => `a${"\u0301".repeat(40_000)}${"\u0316".repeat(40_000)}`],
    ["of other characters", () => "\ufdfa".repeat(40_000)],
  ])("%s are refused before they are brought into another form, which takes long", (_, name) => {
    const normalize = vi.spyOn(String.prototype, "normalize");
    try {
      expect(() => checkFileName(name())).toThrow("must have at most 240 bytes");
      expect(() => checkFileName(`${name()}/a`)).toThrow("must have at most 240 bytes");
      expect(normalize).not.toHaveBeenCalled();
    } finally {
      normalize.mockRestore();
    }
  });

  test("are as long in bytes decomposed as composed", () => {
    const decomposed = "u\u0308\u0304".repeat(120);
    expect(checkFileName(decomposed)).toBe("\u01d6".repeat(120));
  });

  test("are taken in the form NFC", () => {
    expect(checkFileName("e\u0301")).toBe("\u00e9");
  });

  test("get a number before their ending", () => {
    expect(["a.txt", "a", ".a", "a.tar.gz"].map((name) => numbered(name, 2))).toEqual([
      "a (2).txt",
      "a (2)",
      ".a (2)",
      "a.tar (2).gz",
    ]);
  });
});
