/**
 * `pnpm demo [--runtime node|bun|deno]`: builds what is out of date, without a word unless that fails, and runs
 * examples/demo-runtimes.ts, or examples/demo.ts on the runtime named.
 */
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { examplesFor } from "../examples/lib/port.ts";
import { commandLine, findRuntime, isRuntime, RUNTIMES, type RuntimeName, TITLES } from "../examples/lib/runtimes.ts";
import { type LibraryPackage, libraryPackages, ROOT } from "./lib/packages.ts";
import { pnpm, run } from "./lib/run.ts";

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

/** Modification times of the files below `folder`, in milliseconds. */
function times(folder: string): number[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => statSync(join(entry.parentPath, entry.name)).mtimeMs);
}

function isBuilt({ directory }: LibraryPackage): boolean {
  const built = times(join(directory, "dist"));
  const newestSource = Math.max(
    ...times(join(directory, "src")),
    ...["package.json", "tsup.config.ts"].map((name) => statSync(join(directory, name)).mtimeMs),
  );
  return built.length > 0 && Math.min(...built) >= newestSource;
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
  if (!libraryPackages().every(isBuilt)) {
    const build = await pnpm(["run", "build"], { cwd: ROOT });
    if (build.code !== 0) {
      console.error(`The build failed.\n\n${build.output}`);
      return build.code;
    }
  }
  return demo(asked.runtime);
}

process.exitCode = await main();
