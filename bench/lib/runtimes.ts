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

/** The runtimes of server and client. */
export interface Pair {
  readonly server: RuntimeName;
  readonly client: RuntimeName;
}

/** `node` if both are the same, else `node-bun`, the server first. */
export function pairName({ server, client }: Pair): string {
  return server === client ? server : `${server}-${client}`;
}

/** Command and arguments to run a TypeScript file with the garbage collector exposed. */
export function runtimeCommand(runtime: RuntimeName): [command: string, args: string[]] {
  switch (runtime) {
    case "node":
      return [process.execPath, ["--expose-gc", "--disable-warning=ExperimentalWarning"]];
    case "bun":
      return [installed("bun"), ["run"]];
    case "deno":
      // Ignore the configuration file in the root, which maps @netconduit/deno to the sources instead of dist.
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

/** Version of a runtime; null if it isn't installed. */
export function runtimeVersion(runtime: RuntimeName): string | null {
  const [command] = runtimeCommand(runtime);
  const { status, stdout } = spawnSync(command, ["--version"], { encoding: "utf8" });
  return status === 0 ? (/\d+\.\d+\.\d+\S*/.exec(stdout)?.[0] ?? null) : null;
}
