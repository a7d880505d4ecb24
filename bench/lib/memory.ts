import { readFileSync } from "node:fs";
import { platform } from "node:os";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import type { Memory } from "./commands.ts";

declare const Bun: { gc(synchronous: boolean): void } | undefined;

/** Time for the server to finish its work after a burst of connections. */
const SETTLE_MS = 300;
/** Number of collections, with pauses in between for finalizers. */
const COLLECTIONS = 4;
const PAUSE_MS = 50;

function collectGarbage(): void {
  if (typeof Bun !== "undefined") Bun.gc(true);
  else if (typeof globalThis.gc === "function") void globalThis.gc();
  else throw new Error("The garbage collector isn't exposed: start Node or Deno with --expose-gc");
}

/** Resident bytes of another process. */
export function rssOf(processId: number): number {
  if (platform() !== "linux") throw new Error("The memory of another process can only be measured on Linux");
  const match = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${processId}/status`, "utf8"));
  if (match === null) throw new Error(`Process ${processId} has no resident memory`);
  return Number(match[1]) * 1024;
}

/**
 * Measures resident memory before a collection, as in production, and heap after one. For other processes
 * (`processIds`), only the former.
 */
export async function measureMemory(processIds: readonly number[] | undefined): Promise<Memory> {
  if (processIds !== undefined) {
    return { rssBytes: processIds.reduce((sum, id) => sum + rssOf(id), 0), heapBytes: null, heldBytes: null };
  }
  await sleep(SETTLE_MS);
  const { rss } = process.memoryUsage();
  for (let i = 0; i < COLLECTIONS; i++) {
    await sleep(PAUSE_MS);
    collectGarbage();
  }
  const { heapUsed, external } = process.memoryUsage();
  return { rssBytes: rss, heapBytes: heapUsed, heldBytes: heapUsed + external };
}

const WATCH_MS = 10;

/** Tracks this process's resident memory. */
export class MemoryWatch {
  private idle = 0;
  private most = 0;
  private timer: NodeJS.Timeout | null = null;

  start(): null {
    collectGarbage();
    this.idle = process.memoryUsage.rss();
    this.most = this.idle;
    this.timer = setInterval(() => this.look(), WATCH_MS);
    return null;
  }

  /** Ends the tracking. Returns the maximum growth in bytes. */
  growth(): number {
    if (this.timer !== null) clearInterval(this.timer);
    this.look();
    return this.most - this.idle;
  }

  private look(): void {
    this.most = Math.max(this.most, process.memoryUsage.rss());
  }
}

/** CPU time of this process so far, in milliseconds. */
export function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}
