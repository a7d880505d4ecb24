import { expect, test } from "vitest";
import { scalingTables } from "../bench/lib/scaling.ts";
import { readText } from "./lib/markdown.ts";

const text = readText("docs/scaling.md");

test.each([...scalingTables()])("docs/scaling.md has the table %s as bench/scaling.ts reckons it", (name, table) => {
  expect(text).toContain(`<!-- ${name}:begin -->\n\n${table}\n\n<!-- ${name}:end -->`);
});
