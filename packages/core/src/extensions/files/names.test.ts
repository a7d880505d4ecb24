import { describe, expect, test, vi } from "vitest";
import { nameKey, normalName, problemOfName } from "./names.ts";

describe("a name may", () => {
  test.each([
    ["be a file", "report.pdf"],
    ["be in folders", "2026/november/report.pdf"],
    ["start with a dot", ".config"],
    ["have dots inside", "a..b/c...d"],
    ["have spaces inside, and at the start", " my report.pdf"],
    ["have two dots at the start", "..notes"],
    ["be in any script", "отчёт/報告/تقرير/🧾.txt"],
    ["have joiners, as some scripts and emoji need", "می\u200cخواهم/👩\u200d💻.png"],
    ["look like a device, but not be one", "console/nullable.txt/com10/aux-1"],
    ["have 255 bytes in a part", "a".repeat(255)],
    ["have 255 bytes in a part of other characters", "é".repeat(127)],
  ])("%s: %j", (_, name) => {
    expect(problemOfName(name)).toBeNull();
  });
});

describe("a name is refused that", () => {
  test.each([
    ["isn't text", 7, "must be a non-empty string"],
    ["is absent", undefined, "must be a non-empty string"],
    ["is empty", "", "must be a non-empty string"],
    ["leaves the folder", "..", 'must not contain ".."'],
    ["leaves the folder from inside", "a/../../b", 'must not contain ".."'],
    ["leaves the folder at its end", "a/..", 'must not contain ".."'],
    ["leaves the folder on Windows", "..\\b", 'must not contain "\\\\"'],
    ["stays where it is", "./a", 'must not contain "."'],
    ["is the folder itself", ".", 'must not contain "."'],
    ["is absolute", "/etc/passwd", "must be relative"],
    ["is absolute, twice", "//host/share", "must be relative"],
    ["is absolute on Windows", "\\\\host\\share", 'must not contain "\\\\"'],
    ["has a drive letter", "C:/windows", 'must not contain ":"'],
    ["has a drive letter, and is relative to the drive", "C:a", 'must not contain ":"'],
    ["names a stream of a file", "a.txt:hidden", 'must not contain ":"'],
    ["has an empty part", "a//b", "must not contain empty parts"],
    ["ends with a separator", "a/", "must not contain empty parts"],
    ["has a NUL", "a\0.txt", "must not contain U+0000"],
    ["has a line feed", "a\nb", "must not contain U+000A"],
    ["has a control character of Latin-1", "a\u0085b", "must not contain U+0085"],
    ["has a wildcard", "*.txt", 'must not contain "*"'],
    ["is shown in another direction", "photo\u202egpj.exe", "must not contain U+202E"],
    ["has a space that isn't shown", "a\u200bb", "must not contain U+200B"],
    ["ends with a dot", "a.", "must not have parts that end with a dot or a space"],
    ["ends with a space", "a ", "must not have parts that end with a dot or a space"],
    ["has a folder that ends with dots", "a.../b", "must not have parts that end with a dot or a space"],
    ["is dots alone", "...", "must not have parts that end with a dot or a space"],
    ["is dots and a space", ".. /a", "must not have parts that end with a dot or a space"],
    ["is a device", "NUL", "must not be the name of a device (NUL)"],
    ["is a device in lower case", "con", "must not be the name of a device (CON)"],
    ["is a device with an ending", "aux.tar.gz", "must not be the name of a device (AUX)"],
    ["is a device with spaces before its ending", "prn  .txt", "must not be the name of a device (PRN)"],
    ["is a device in a folder", "a/com1.log/b", "must not be the name of a device (COM1)"],
    ["is a device with a superscript digit", "lpt²", "must not be the name of a device (LPT²)"],
    ["is a console", "conin$", "must not be the name of a device (CONIN$)"],
    ["has half of a surrogate pair", "a\ud800", "must not contain half of a surrogate pair"],
    ["has a part that is too long", "a".repeat(256), "must have parts of at most 255 bytes"],
    ["has a part that is too long in bytes", "é".repeat(128), "must have parts of at most 255 bytes"],
    ["is too long", `${"a/".repeat(512)}a`, "must have at most 1024 bytes"],
  ])("%s: %j", (_, name, problem) => {
    expect(problemOfName(name)).toBe(problem);
  });
});

test("a name of any length is refused before it is brought into another form, which takes long", () => {
  const normalize = vi.spyOn(String.prototype, "normalize");
  try {
    const name = `a${"\u0301".repeat(40_000)}${"\u0316".repeat(40_000)}`;
    expect(problemOfName(name)).toBe("must have at most 1024 bytes");
    expect(normalize).not.toHaveBeenCalled();
  } finally {
    normalize.mockRestore();
  }
});

test("forms of one text are stored as one name", () => {
  expect(normalName("re\u0301sume\u0301")).toBe(normalName("r\u00e9sum\u00e9"));
});

describe("names are the same file somewhere if they", () => {
  test.each([
    ["differ in case", "Report.PDF", "rEPORT.pdf"],
    ["differ in the case of a folder", "A/b", "a/B"],
    ["differ in their form", "e\u0301.txt", "\u00c9.TXT"],
    ["differ in the two small sigmas", "λόγος", "ΛΌΓΟΣ"],
    ["differ in a letter of another block", "\u212aelvin", "kelvin"],
    ["differ in the long s", "\u017fet", "SET"],
    ["differ in the sharp s", "straße", "STRASSE"],
    ["differ in characters that aren't shown", "a\u200cb", "ab"],
  ])("%s: %j, %j", (_, one, other) => {
    expect(nameKey(one)).toBe(nameKey(other));
  });
});

test.each([
  ["a", "b"],
  ["a/b", "ab"],
  ["e", "é"],
  ["a.txt", "a.text"],
])("%j and %j are different files everywhere", (one, other) => {
  expect(nameKey(one)).not.toBe(nameKey(other));
});
