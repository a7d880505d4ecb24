/** Compares received ids with the promises. */
import type { Entries, Lane } from "./journal.ts";
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
  /** Plain messages that were lost with a killed process, which nobody promises. */
  readonly unpromised: number;
  /** Mistakes by lane, as text. */
  readonly examples: readonly string[];
}

/** Lanes without an order: a repeated message may arrive after later ones. */
const UNORDERED: ReadonlySet<string> = new Set(["ack", "once"]);

function kindOf(lane: Lane): string {
  return lane.slice(3);
}

/** Whether a process must not handle again what an earlier one of its side has. */
function isKept(mode: Mode, lane: Lane): boolean {
  const isMessage = kindOf(lane) === "message";
  // A server with a store keeps what it begins by key. That a message was handled may reach the store too late.
  return hasStore(mode) && lane.includes(">") ? !isMessage : isMessage;
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
        else if (id < last && !UNORDERED.has(kind)) count("disordered", lane, id);
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
    for (let id = 0; id < ids; id += 1) {
      if (everywhere.has(id)) continue;
      if (hasKills(mode) && kind === "message") sums.unpromised += 1;
      else if (unknown.has(id)) sums.unknown += 1;
      else count("lost", lane, id);
    }
  }
  return { ...sums, examples: [...examples].map(([key, { count, first }]) => `${count} ${key}, first ${first}`) };
}
