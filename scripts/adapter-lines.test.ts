import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { codeLines } from "./lib/code-lines.ts";

/** An adapter is the calls to its runtime. What is more than that belongs into the core, where all share it. */
const MAX_LINES = 200;

const packages = join(import.meta.dirname, "../packages");

test.for(["node", "bun", "deno"])(`the sources of packages/%s are at most ${MAX_LINES} lines of code`, (name) => {
  const files = globSync("**/*.ts", { cwd: join(packages, name, "src"), exclude: ["**/*.test.ts", "**/*.d.ts"] });
  const lines = files.map((file) => codeLines(readFileSync(join(packages, name, "src", file), "utf8")));
  expect(files).toContain("index.ts");
  expect(lines.reduce((sum, count) => sum + count)).toBeLessThanOrEqual(MAX_LINES);
});
