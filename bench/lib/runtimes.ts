import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";
import type { RuntimeName } from "./peer.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));

export const RUNTIMES: readonly RuntimeName[] = ["node", "bun", "deno"];

/** The runtime of this process. */
export function currentRuntime(): RuntimeName {
  if (process.versions["bun"] !== undefined) return "bun";
  return process.versions["deno"] === undefined ? "node" : "deno";
}

/** Where server and client run. */
export interface Pair {
  readonly server: RuntimeName;
  readonly client: RuntimeName;
}

/** `node` for a pair of one runtime, else `node-bun`, the server first. */
export function pairName({ server, client }: Pair): string {
  return server === client ? server : `${server}-${client}`;
}

/** All nine. */
export function allPairs(): Pair[] {
  return RUNTIMES.flatMap((server) => RUNTIMES.map((client) => ({ server, client })));
}

/** Command and arguments that run a TypeScript file; the garbage collector can be called. */
export function runtimeCommand(runtime: RuntimeName): [command: string, args: string[]] {
  switch (runtime) {
    case "node":
      return [process.execPath, ["--expose-gc", "--disable-warning=ExperimentalWarning"]];
    case "bun":
      return [installed("bun"), ["run"]];
    case "deno":
      // No configuration file: the one at the top would send @netconduit/deno to the sources instead of what was built.
      return [
        installed("deno"),
        ["run", "-A", "--quiet", "--no-check", "--no-config", "--node-modules-dir=manual", "--v8-flags=--expose-gc"],
      ];
  }
}

function installed(name: string): string {
  const path = join(ROOT, "node_modules", ".bin", name);
  return existsSync(path) ? path : name;
}

/** Version of a runtime, or null when it does not run here. */
export function runtimeVersion(runtime: RuntimeName): string | null {
  const [command] = runtimeCommand(runtime);
  const { status, stdout } = spawnSync(command, ["--version"], { encoding: "utf8" });
  return status === 0 ? (/\d+\.\d+\.\d+\S*/.exec(stdout)?.[0] ?? null) : null;
}
