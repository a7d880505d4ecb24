import { readFileSync } from "node:fs";
import { platform } from "node:os";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import type { Memory } from "./commands.ts";

declare const Bun: { gc(synchronous: boolean): void } | undefined;

/** Time in which what a burst of connections left to be done gets done. */
const SETTLE_MS = 300;
/** Collections, with pauses in which finalizers run. */
const COLLECTIONS = 4;
const PAUSE_MS = 50;

function collectGarbage(): void {
  if (typeof Bun !== "undefined") Bun.gc(true);
  else if (typeof globalThis.gc === "function") void globalThis.gc();
  else throw new Error("The process was started without a way to collect garbage");
}

/** Resident bytes of another process, read from the operating system. */
function rssOf(processId: number): number {
  if (platform() !== "linux") throw new Error("The memory of another process is measured on Linux only");
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${processId}/status`, "utf8"));
  if (match === null) throw new Error(`Process ${processId} has no resident memory`);
  return Number(match[1]) * 1024;
}

/**
 * Memory of this process: what the operating system counts before a collection, as a server in use has it, and the
 * heap after one. Of `processIds` the former alone.
 */
export async function measureMemory(processIds: readonly number[] | undefined): Promise<Memory> {
  if (processIds !== undefined) {
    return { rssBytes: processIds.reduce((sum, id) => sum + rssOf(id), 0), heapBytes: null };
  }
  await sleep(SETTLE_MS);
  const { rss } = process.memoryUsage();
  for (let i = 0; i < COLLECTIONS; i++) {
    await sleep(PAUSE_MS);
    collectGarbage();
  }
  const { heapUsed } = process.memoryUsage();
  return { rssBytes: rss, heapBytes: heapUsed };
}

/** CPU time of this process so far, in milliseconds. */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
