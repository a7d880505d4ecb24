/**
 * `pnpm demo [--runtime node|bun|deno]`: builds whatever is out of date and runs examples/demo-runtimes.ts, or
 * examples/demo.ts on the given runtime. The build prints only errors.
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
With --runtime, a server and several clients on that runtime show more features.

The exit code is 0 if every check passed, 1 if one failed or a runtime is missing, and 2 for
invalid options.`;

/** Parses the command line; returns an error message if it is invalid. */
function options(): { readonly help: boolean; readonly runtime: RuntimeName | null } | string {
  try {
    const { values } = parseArgs({ options: { help: { type: "boolean", short: "h" }, runtime: { type: "string" } } });
    const { help = false, runtime } = values;
    if (runtime === undefined) return { help, runtime: null };
    if (!isRuntime(runtime)) return `Unknown runtime: ${runtime}. Choose ${RUNTIMES.join(", ")}.`;
    return { help, runtime };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Runs the demo on one runtime, or on all of them; resolves with its exit code. */
async function demo(runtime: RuntimeName | null): Promise<number> {
  const script = runtime === null ? "demo-runtimes.ts" : "demo.ts";
  const runsOn = runtime ?? "node";
  const installed = findRuntime(runsOn);
  if (installed === null) {
    console.error(`${TITLES[runsOn]} is not on the PATH. Run this as \`pnpm demo\`.`);
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
