/**
 * `pnpm attacks [--runtime node,bun,deno] [--only TEXT] [--seconds 4]`: attacks servers of each runtime and prints a
 * table in Markdown. Exit code 1 if a server ended.
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { RUNTIMES, type RuntimeName } from "../docs-tests/lib/runtimes.ts";
import { attacks } from "./index.ts";
import { runAttack } from "./lib/run-attack.ts";
import { HEADING, rowOf } from "./lib/table.ts";

const { values } = parseArgs({
  options: {
    runtime: { type: "string", default: RUNTIMES.join(",") },
    only: { type: "string", default: "" },
    seconds: { type: "string", default: "4" },
    verbose: { type: "boolean", default: false },
  },
});

const runtimes = values.runtime.split(",") as RuntimeName[];
const times = { beforeMs: 1500, attackMs: Number(values.seconds) * 1000 };
console.log(HEADING);
for (const attack of attacks.filter(({ name }) => name.includes(values.only))) {
  for (const runtime of runtimes) {
    const result = await runAttack(attack, runtime, times);
    console.log(rowOf(result));
    if (values.verbose) console.error(JSON.stringify(result, null, 1));
    if (result.exit !== null) process.exitCode = 1;
  }
}
