/**
 * Compares received ids with the delivery guarantees. For each mode and kind of lane:
 *
 * - `"cuts"`, `"network"`: each id is handled once, and in order except for `once`.
 * - `"kills"`: `ack` and `once` are handled, possibly again by the process that replaces a killed one. Plain messages
 *   are handled at most once and in order, as are the clients' messages with `ack`. A killed process, of either side,
 *   loses those last in flight: one range per lane.
 * - `"store"`, `"disk"`: as `"kills"`, but a server with a store doesn't repeat work with a key that an earlier
 *   server has started, unless it reports so, and all plain messages of a client that isn't killed are handled,
 *   possibly again by the next server.
 */
import type { Entries, Lane, Side } from "./journal.ts";
import { hasKills, hasStore, type Mode } from "./workload.ts";

export interface Tally {
  /** Number of distinct ids that were handled. */
  readonly received: number;
  /** Number of guaranteed ids that were not handled. */
  readonly lost: number;
  /** Number of ids that were handled again in violation of a guarantee. */
  readonly double: number;
  /** Number of ids received after a later one of their lane, if order is guaranteed. */
  readonly disordered: number;
  /** Number of ids handled again by a process that replaced a killed one. */
  readonly again: number;
  /** Number of calls that the server reported as possibly executed, and that were not. */
  readonly unknown: number;
  /** Number of plain messages lost in flight when a process was killed, which are not guaranteed. */
  readonly unpromised: number;
  /** Examples of faults by lane, as text. */
  readonly examples: readonly string[];
}

/** Whether ids are handled in order. */
function isOrdered(mode: Mode, lane: Lane): boolean {
  const kind = kindOf(lane);
  if (kind !== "ack") return kind !== "once";
  // A server's messages are lost with a killed client. A full store rejects those of clients, so they arrive later.
  return !hasKills(mode) || (lane.includes(">") && mode !== "disk");
}

function kindOf(lane: Lane): string {
  return lane.slice(3);
}

/** Whether a process must not repeat what an earlier process of its side has handled. */
function isKept(mode: Mode, lane: Lane): boolean {
  const isMessage = kindOf(lane) === "message";
  // A server with a store records work with a key when it starts. The record of a handled message may come too late.
  return hasStore(mode) && lane.includes(">") ? !isMessage : isMessage;
}

/** Number of kills that may each lose a lane's plain messages in flight. */
function costlyKills(mode: Mode, lane: Lane, journals: readonly Entries[]): number {
  if (!hasKills(mode)) return 0;
  const killsOf = (side: Side): number => Math.max(0, journals.filter((one) => one.side === side).length - 1);
  // A client resends what a killed server hadn't handled if the next server has its store.
  const isRepeated = hasStore(mode) && lane.includes(">");
  return killsOf("client") + (isRepeated ? 0 : killsOf("server"));
}

/** Returns ranges of consecutive ids, the longest first. */
function rangesOf(ids: readonly number[]): number[][] {
  const ranges: number[][] = [];
  for (const id of ids) {
    const range = ranges.at(-1);
    if (range !== undefined && range.at(-1) === id - 1) range.push(id);
    else ranges.push([id]);
  }
  return ranges.sort((a, b) => b.length - a.length);
}

/** @param lanes number of ids per lane */
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
