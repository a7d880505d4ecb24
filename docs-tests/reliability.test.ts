import { describe, expect, test } from "vitest";
import { HEADING } from "../chaos/lib/table.ts";
import { codeBlocks, readText, tableRows } from "./lib/markdown.ts";

const FILE = "docs/reliability.md";
const text = readText(FILE);
const rows = tableRows(text, "Results", "Lost");
const WRONG = ["Lost", "Double", "Out of order", "Faults"] as const;
const { scripts } = JSON.parse(readText("package.json")) as { readonly scripts: Readonly<Record<string, string>> };

describe(FILE, () => {
  test("has a table with the columns that the runner prints", () => {
    expect(text).toContain(HEADING);
    expect(rows.length).toBeGreaterThan(8);
  });

  test.each(rows)("says that nothing was wrong: $Server, $Client, $Run", (row) => {
    expect(WRONG.map((column) => row[column])).toEqual(["0", "0", "0", "0"]);
  });

  test("explains each column that counts what is wrong", () => {
    const explained = tableRows(text, "What is promised, and counted", "Column").map(({ Column }) => Column);
    expect(explained).toEqual(expect.arrayContaining([...WRONG]));
  });

  test("names commands that exist", () => {
    const code = codeBlocks(FILE).map((block) => block.code);
    const inText = [...text.matchAll(/`npx pnpm@12 (\w+)/g)].map(([, name = ""]) => name);
    const named = [...code.join("\n").matchAll(/pnpm@12 (\w+)/g)].map(([, name = ""]) => name);
    expect(named).toContain("chaos");
    for (const name of [...named, ...inText]) expect(Object.keys(scripts)).toContain(name);
  });
});
