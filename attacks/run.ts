/**
 * `pnpm attacks [--runtime node,bun,deno] [--only TEXT] [--seconds 1.5] [--write] [--verbose]`: attacks servers of each
 * runtime and prints a table in Markdown, then the rows that miss a goal. With `--write` the table in SECURITY.md is
 * brought up to date after each row. Exit code 1 if a server ended or hung.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { RUNTIMES, type RuntimeName } from "../docs-tests/lib/runtimes.ts";
import { attacks } from "./index.ts";
import { type AttackResult, runAttack } from "./lib/run-attack.ts";
import { HEADING, missesOf, rowOf, withTable } from "./lib/table.ts";

const DOCUMENT = fileURLToPath(new URL("../SECURITY.md", import.meta.url));

const { values } = parseArgs({
  options: {
    runtime: { type: "string", default: RUNTIMES.join(",") },
    only: { type: "string", default: "" },
    seconds: { type: "string", default: "1.5" },
    write: { type: "boolean", default: false },
    verbose: { type: "boolean", default: false },
  },
});

const runtimes = values.runtime.split(",") as RuntimeName[];
const times = { warmUpMs: 300, beforeMs: 600, attackMs: Number(values.seconds) * 1000 };
const results: AttackResult[] = [];

function writeTable(): void {
  const about =
    `Measured on ${availableParallelism()} cores of a shared machine, ${values.seconds} seconds and more of each attack; ` +
    `all processes on that machine, over its loopback, the attacker's at the lowest priority.`;
  const order = attacks.flatMap(({ name }) => RUNTIMES.map((runtime) => [name, runtime] as const));
  writeFileSync(DOCUMENT, withTable(readFileSync(DOCUMENT, "utf8"), about, results, order));
}

console.log(HEADING);
for (const attack of attacks.filter(({ name }) => name.includes(values.only))) {
  for (const runtime of runtimes) {
    const result = await runAttack(attack, runtime, times);
    results.push(result);
    console.log(rowOf(result));
    if (values.write) writeTable();
    if (values.verbose) console.error(JSON.stringify(result, null, 1));
    if (result.exit !== null || result.server === null) process.exitCode = 1;
  }
}

const misses = results.flatMap((result) => {
  const missed = missesOf(result);
  return missed.length === 0 ? [] : `- ${result.name}, ${result.runtime}: ${missed.join(", ")}`;
});
console.log(misses.length === 0 ? "\nEvery row meets the goals." : `\nThese rows miss a goal:\n\n${misses.join("\n")}`);
