import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { COLUMNS } from "../bench/lib/report.ts";
import type { BenchResults } from "../bench/lib/results.ts";
import { speedSummary } from "../bench/lib/speed.ts";
import { ROOT, readText } from "./lib/markdown.ts";

test("the figures in README.md are those of the last full run of the bench", () => {
  const { rows } = JSON.parse(readFileSync(join(ROOT, "bench/results/results.json"), "utf8")) as BenchResults;
  expect(readText("README.md")).toContain(speedSummary(rows, COLUMNS));
});
