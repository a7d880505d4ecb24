/** `pnpm attacks`; `--help` lists its options. Exit code 1 if a server ended or hung. */
import { readFileSync, writeFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { RUNTIMES } from "../docs-tests/lib/runtimes.ts";
import { amount, commandLine, flag, list, text } from "../scripts/lib/command-line.ts";
import { attacks } from "./index.ts";
import { type AttackResult, runAttack } from "./lib/run-attack.ts";
import { HEADING, missesOf, rowOf, withTable } from "./lib/table.ts";

const DOCUMENT = fileURLToPath(new URL("../SECURITY.md", import.meta.url));

const { values } = commandLine({
  name: "pnpm attacks",
  about: "Attacks servers of each runtime, and prints a Markdown table, then the rows that miss a goal.",
  options: {
    runtime: list("runtimes of the server", RUNTIMES),
    only: text("only attacks whose names contain the text", "TEXT"),
    seconds: amount("minimum duration of each attack", 1.5),
    write: flag("updates the table in SECURITY.md after each row"),
    verbose: flag("also prints the results as JSON"),
  },
});

const times = { warmUpMs: 300, beforeMs: 600, attackMs: values.seconds * 1000, attackerYields: true };
const results: AttackResult[] = [];

function writeTable(): void {
  const about =
    `Measured on ${availableParallelism()} cores of a shared machine, ${values.seconds} seconds and more of each attack; ` +
    `all processes on that machine, over its loopback, the attacker's while a processor is free.`;
  const order = attacks.flatMap(({ name }) => RUNTIMES.map((runtime) => [name, runtime] as const));
  writeFileSync(DOCUMENT, withTable(readFileSync(DOCUMENT, "utf8"), about, results, order));
}

console.log(HEADING);
for (const attack of attacks.filter(({ name }) => name.includes(values.only ?? ""))) {
  for (const runtime of values.runtime) {
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
