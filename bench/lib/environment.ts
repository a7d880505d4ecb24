import { spawnSync } from "node:child_process";
import { cpus, loadavg, release, totalmem, type } from "node:os";
import type { Peer, RuntimeName } from "./peer.ts";
import type { Environment } from "./results.ts";
import { RUNTIMES, runtimeVersion } from "./runtimes.ts";

/** File descriptors that a process needs in addition to its connections. */
const SPARE_DESCRIPTORS = 500;

/** Versions of the installed runtimes. */
export function availableRuntimes(): Map<RuntimeName, string> {
  const found = new Map<RuntimeName, string>();
  for (const runtime of RUNTIMES) {
    const version = runtimeVersion(runtime);
    if (version !== null) found.set(runtime, version);
  }
  return found;
}

/** Maximum connections of one process: Node raises its soft limit of open files to the hard limit. */
export function connectionsPerProcess(): number {
  const { status, stdout } = spawnSync("sh", ["-c", "ulimit -Hn"], { encoding: "utf8" });
  const limit = Number(stdout.trim());
  return status === 0 && Number.isInteger(limit) ? limit - SPARE_DESCRIPTORS : Number.POSITIVE_INFINITY;
}

/** Load average of the last minute; 0 if the system doesn't provide it. */
export function loadAverage(): number {
  return Math.round((loadavg()[0] ?? 0) * 100) / 100;
}

/** The machine, and the versions of runtimes and peers. */
export async function environment(
  load: number,
  runtimes: ReadonlyMap<RuntimeName, string>,
  peers: readonly Peer[],
): Promise<Environment> {
  const versions = await Promise.all(peers.map(async (peer) => [peer.name, await peer.version()] as const));
  const [cpu] = cpus();
  return {
    cpu: cpu?.model.trim() ?? "unknown",
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `${type()} ${release().split(".", 2).join(".")}`,
    load,
    runtimes: Object.fromEntries(runtimes),
    peers: Object.fromEntries(versions),
  };
}
