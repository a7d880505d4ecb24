import { describe, expect, test } from "vitest";
import { ErrorCode } from "../packages/core/src/errors.ts";
import { codeIn, markdownFiles, readText, tableRows } from "./lib/markdown.ts";

const inCode = Object.entries(ErrorCode)
  .map(([name, code]) => `${code} ${name}`)
  .sort();

describe("error codes", () => {
  test.each(["docs/guide.md", "PROTOCOL.md"])("%s lists every code of the library with its number", (file) => {
    const rows = tableRows(readText(file), "Error codes", "Constant");
    expect(rows.map((row) => `${row["Code"]} ${codeIn(row["Constant"] ?? "")}`).sort()).toEqual(inCode);
  });

  test.each(markdownFiles())("%s gives a code that it names no other number", (file) => {
    const text = readText(file);
    const inProse = [...text.matchAll(/`([A-Z][A-Z_]+)` \((\d{4})\)/g)].map(([, name, number]) => ({ name, number }));
    const inTables = [...text.matchAll(/^\| (\d{4}) \| `([A-Z_]+)` \|/gm)].map(([, number, name]) => ({
      name,
      number,
    }));
    const known: Readonly<Record<string, number>> = ErrorCode;
    const wrong = [...inProse, ...inTables].filter(({ name = "", number }) => known[name] !== Number(number));
    expect(wrong).toEqual([]);
  });
});
