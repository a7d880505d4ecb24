import { expect, test } from "vitest";
import { readText } from "./lib/markdown.ts";

const [, chapter = ""] = /^## Guarantees\n(.*?)^## /ms.exec(readText("docs/guide.md")) ?? [];
const [, table = ""] = /^\| \| Promise \| Test \|\n\|[-| ]+\|\n((?:\|.*\n)+)/m.exec(chapter) ?? [];
const rows = table.trimEnd().split("\n");

test("the table of promises has rows", () => {
  expect(rows.length).toBeGreaterThan(40);
});

test.each(rows)("a test holds the promise: %s", (row) => {
  const { title = "", file = "" } =
    /\| \[(?<title>[^\]]+)\]\(\.\.\/(?<file>\S+\.(?:test|suite)\.ts)\) \|$/.exec(row)?.groups ?? {};
  expect(row).toContain(`[${title}](../${file}) |`);
  // The title is the first argument of `test` or `test.skipIf(…)`, on its own line.
  expect(readText(file)).toContain(`"${title}",`);
});
