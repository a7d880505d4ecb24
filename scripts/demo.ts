/**
 * `pnpm demo [--runtime node|bun|deno]`: builds what is out of date, without a word unless that fails, and runs
 * examples/demo-runtimes.ts, or examples/demo.ts on the runtime named.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { examplesFor } from "../examples/lib/port.ts";
import { commandLine, findRuntime, isRuntime, RUNTIMES, type RuntimeName, TITLES } from "../examples/lib/runtimes.ts";
import { buildIfStale } from "./lib/build-if-stale.ts";
import { ROOT } from "./lib/packages.ts";
import { run } from "./lib/run.ts";

const USAGE = `Usage: pnpm demo [--runtime ${RUNTIMES.join("|")}]

Without an option, servers and clients on Node.js, Bun and Deno talk to one another.
With --runtime, a server and its clients on that runtime show more of what they can do.

The exit code is 0 when everything shown was as it should be, 1 when something was not or a
runtime is missing, and 2 when the options were not understood.`;

/** What the command line asks for; a string is what is wrong with it. */
function options(): { readonly help: boolean; readonly runtime: RuntimeName | null } | string {
  try {
    const { values } = parseArgs({ options: { help: { type: "boolean", short: "h" }, runtime: { type: "string" } } });
    const { help = false, runtime } = values;
    if (runtime === undefined) return { help, runtime: null };
    if (!isRuntime(runtime)) return `Unknown runtime: ${runtime}. There are ${RUNTIMES.join(", ")}.`;
    return { help, runtime };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Runs the demo on one runtime, or on all of them; resolves to its exit code. */
async function demo(runtime: RuntimeName | null): Promise<number> {
  const script = runtime === null ? "demo-runtimes.ts" : "demo.ts";
  const runsOn = runtime ?? "node";
  const installed = findRuntime(runsOn);
  if (installed === null) {
    console.error(`${TITLES[runsOn]} is not on the PATH. pnpm puts it there: run this as \`pnpm demo\`.`);
    return 1;
  }
  const command = commandLine(runsOn, script, join(examplesFor(runsOn), script));
  return (await run(installed.path, command, { cwd: ROOT, output: "show" })).code;
}

async function main(): Promise<number> {
  const asked = options();
  if (typeof asked === "string") {
    console.error(`${asked}\n\n${USAGE}`);
    return 2;
  }
  if (asked.help) {
    console.log(USAGE);
    return 0;
  }
  try {
    await buildIfStale();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return 1;
  }
  return demo(asked.runtime);
}

process.exitCode = await main();
