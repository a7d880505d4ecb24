/**
 * `pnpm sizes`: compares the packages' minified and gzipped sizes with the limits in sizes.json, and fails if one is
 * exceeded. Run it after `pnpm build`. `pnpm sizes --update` sets limits about 3 % above the measured sizes.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { libraryPackages, ROOT } from "./lib/packages.ts";
import { formatSizes, limitsFor, measureSizes, type Sizes, sizeProblems } from "./lib/sizes.ts";

const LIMITS = join(ROOT, "sizes.json");

/** Exports that a program may use individually: importing one must not bundle the whole library. */
const NAMES = ["ErrorCode"];

const sizes = await measureSizes(libraryPackages(), NAMES);
if (process.argv.includes("--update")) writeFileSync(LIMITS, `${JSON.stringify(limitsFor(sizes), null, 2)}\n`);

const limits = JSON.parse(readFileSync(LIMITS, "utf8")) as Sizes;
console.log(formatSizes(sizes, limits));

const problems = sizeProblems(sizes, limits);
if (problems.length > 0) {
  console.error(`\n${problems.join("\n")}\nIf the growth is justified, run: pnpm sizes --update`);
  process.exitCode = 1;
}
