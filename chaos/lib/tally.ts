/**
 * Compares received ids with the promises. For each mode and kind of lane:
 *
 * - `"cuts"`, `"network"`: each id is handled once, and in order but for `once`.
 * - `"kills"`: `ack` and `once` are handled; again by the next process of a killed one. Plain messages are handled once at
 *   most, and in order; so are the clients' messages with `ack`. A killed process, of either side, costs those that were last on their way: one range of a lane.
 * - `"store"`, `"disk"`: as `"kills"`, but a server with a store handles nothing with a key again that an earlier one has begun,
 *   unless it says so, and plain messages of a client that isn't killed are all handled, perhaps again by the next server.
 */
import type { Entries, Lane, Side } from "./journal.ts";
import { hasKills, hasStore, type Mode } from "./workload.ts";

export interface Tally {
  /** Ids that were handled, each counted once. */
  readonly received: number;
  /** Ids that were promised and not handled. */
  readonly lost: number;
  /** Ids that were handled again, and should not have been. */
  readonly double: number;
  /** Ids that came behind a later one of their lane, where an order is promised. */
  readonly disordered: number;
  /** Ids that were handled again by a process that took the place of a killed one. */
  readonly again: number;
  /** Calls of which the server said that nobody knows whether they were carried out, and which were not. */
  readonly unknown: number;
  /** Plain messages that were on their way when a process was killed, and that nobody promises. */
  readonly unpromised: number;
  /** Mistakes by lane, as text. */
  readonly examples: readonly string[];
}

/** Whether ids are handled in order. */
function isOrdered(mode: Mode, lane: Lane): boolean {
  const kind = kindOf(lane);
  if (kind !== "ack") return kind !== "once";
  // A server's messages end with a killed client. A store that is full refuses those of clients, so they come later.
  return !hasKills(mode) || (lane.includes(">") && mode !== "disk");
}

function kindOf(lane: Lane): string {
  return lane.slice(3);
}

/** Whether a process must not handle again what an earlier one of its side has. */
function isKept(mode: Mode, lane: Lane): boolean {
  const isMessage = kindOf(lane) === "message";
  // A server with a store keeps what it begins by key. That a message was handled may reach the store too late.
  return hasStore(mode) && lane.includes(">") ? !isMessage : isMessage;
}

/** Kills that may each cost the plain messages of a lane that were on their way. */
function costlyKills(mode: Mode, lane: Lane, journals: readonly Entries[]): number {
  if (!hasKills(mode)) return 0;
  const killsOf = (side: Side): number => Math.max(0, journals.filter((one) => one.side === side).length - 1);
  // A client sends again what a killed server hadn't handled, if the next one has its store.
  const isRepeated = hasStore(mode) && lane.includes(">");
  return killsOf("client") + (isRepeated ? 0 : killsOf("server"));
}

/** Ids that follow each other, the longest range first. */
function rangesOf(ids: readonly number[]): number[][] {
  const ranges: number[][] = [];
  for (const id of ids) {
    const range = ranges.at(-1);
    if (range !== undefined && range.at(-1) === id - 1) range.push(id);
    else ranges.push([id]);
  }
  return ranges.sort((a, b) => b.length - a.length);
}

/** @param lanes the number of ids of each lane */
export function tallyOf(mode: Mode, lanes: ReadonlyMap<Lane, number>, journals: readonly Entries[]): Tally {
  const sums = { received: 0, lost: 0, double: 0, disordered: 0, again: 0, unknown: 0, unpromised: 0 };
  const examples = new Map<string, { count: number; readonly first: number }>();
  const count = (what: "lost" | "double" | "disordered", lane: Lane, id: number): void => {
    sums[what] += 1;
    const key = `${what} of ${lane}`;
    const example = examples.get(key) ?? { count: 0, first: id };
    examples.set(key, example);
    example.count += 1;
  };
  for (const [lane, ids] of lanes) {
    const kind = kindOf(lane);
    const everywhere = new Set<number>();
    const unknown = new Set<number>();
    for (const { marks } of journals) {
      const here = new Set<number>();
      let last = -1;
      for (const id of marks.get("got")?.get(lane) ?? []) {
        if (here.has(id)) count("double", lane, id);
        else if (everywhere.has(id) && isKept(mode, lane)) count("double", lane, id);
        else if (everywhere.has(id)) sums.again += 1;
        else if (id < last && isOrdered(mode, lane)) count("disordered", lane, id);
        here.add(id);
        last = Math.max(last, id);
      }
      for (const id of marks.get("got-again")?.get(lane) ?? []) {
        if (everywhere.has(id)) sums.again += 1;
        here.add(id);
      }
      for (const id of here) everywhere.add(id);
      for (const id of marks.get("unknown")?.get(lane) ?? []) unknown.add(id);
    }
    sums.received += everywhere.size;
    const missing: number[] = [];
    for (let id = 0; id < ids; id += 1) {
      if (everywhere.has(id)) continue;
      if (unknown.has(id)) sums.unknown += 1;
      else missing.push(id);
    }
    const ranges = rangesOf(missing);
    const permitted = ranges.splice(0, kind === "message" ? costlyKills(mode, lane, journals) : 0);
    sums.unpromised += permitted.flat().length;
    for (const id of ranges.flat()) count("lost", lane, id);
  }
  return { ...sums, examples: [...examples].map(([key, { count, first }]) => `${count} ${key}, first ${first}`) };
}
