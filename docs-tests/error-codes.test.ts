import { describe, expect, test } from "vitest";
import { ErrorCode } from "../packages/core/src/errors.ts";
import { codeIn, markdownFiles, readText, tableRows } from "./lib/markdown.ts";

const inCode = Object.entries(ErrorCode)
  .map(([name, code]) => `${code} ${name}`)
  .sort();

/** Words in capitals that look like a code and are none: frame types, header flags, environment variables, states. */
const names: ReadonlySet<string> = new Set(Object.keys(ErrorCode));

describe("error codes", () => {
  test.each(["docs/guide.md", "PROTOCOL.md"])("%s lists every code of the library with its number", (file) => {
    const rows = tableRows(readText(file), "Error codes", "Constant");
    expect(rows.map((row) => `${row["Code"]} ${codeIn(row["Constant"] ?? "")}`).sort()).toEqual(inCode);
  });

  test.each(markdownFiles())("%s gives a code that it names no other number", (file) => {
    const wrong: string[] = [];
    for (const [text, name = "", number] of readText(file).matchAll(/`([A-Z][A-Z_]+)` \((\d{4})\)/g)) {
      if (names.has(name) && ErrorCode[name as keyof typeof ErrorCode] !== Number(number)) wrong.push(text);
    }
    expect(wrong).toEqual([]);
  });
});
