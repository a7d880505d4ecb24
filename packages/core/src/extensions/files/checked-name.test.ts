import { describe, expect, test } from "vitest";
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
