import { expect, test } from "vitest";
import { readText } from "./lib/markdown.ts";

/** Rows of the table of promises: the title of the test, and its file. */
const rows = [
  ...readText("docs/guide.md").matchAll(/^\| .* \| \[(?<title>[^\]]+)\]\(\.\.\/(?<file>\S+\.test\.ts)\) \|$/gm),
];

test("the table of promises has rows", () => {
  expect(rows.length).toBeGreaterThan(5);
});

test.each(rows.map(({ groups = {} }) => [groups["title"] ?? "", groups["file"] ?? ""]))(
  "there is a test: %s",
  (title, file) => {
    expect(readText(file)).toContain(`test("${title}"`);
  },
);
