/** Compares what was received with what was promised. */
import type { Entries, Lane } from "./journal.ts";
import type { Mode } from "./workload.ts";

export interface Tally {
  /** Ids that were handled, each counted once. */
  readonly received: number;
  /** Ids that were promised and not handled. */
  readonly lost: number;
  /** Ids that one process handled again. */
  readonly double: number;
  /** Ids that came behind a later one of their lane, where an order is promised. */
  readonly disordered: number;
  /** Ids that were handled again by a process that took the place of a killed one. */
  readonly again: number;
  /** Plain messages that were lost with a killed process, which nobody promises. */
  readonly unpromised: number;
  /** What is wrong in which lane, for people. */
  readonly examples: readonly string[];
}

/** What is sent again may arrive behind what was sent later. */
const UNORDERED: ReadonlySet<string> = new Set(["ack", "once"]);

function kindOf(lane: Lane): string {
  return lane.slice(3);
}

/** @param lanes the number of ids of each lane */
export function tallyOf(mode: Mode, lanes: ReadonlyMap<Lane, number>, journals: readonly Entries[]): Tally {
  const sums = { received: 0, lost: 0, double: 0, disordered: 0, again: 0, unpromised: 0 };
  const examples = new Map<string, { count: number; readonly first: number }>();
  const count = (what: "lost" | "double" | "disordered" | "again", lane: Lane, id: number): void => {
    sums[what] += 1;
    if (what === "again") return;
    const key = `${what} of ${lane}`;
    const example = examples.get(key) ?? { count: 0, first: id };
    examples.set(key, example);
    example.count += 1;
  };
  for (const [lane, ids] of lanes) {
    const everywhere = new Set<number>();
    for (const { marks } of journals) {
      const here = new Set<number>();
      let last = -1;
      for (const id of marks.get("got")?.get(lane) ?? []) {
        if (here.has(id)) count("double", lane, id);
        else if (everywhere.has(id)) count(kindOf(lane) === "message" ? "double" : "again", lane, id);
        else if (id < last && !UNORDERED.has(kindOf(lane))) count("disordered", lane, id);
        here.add(id);
        last = Math.max(last, id);
      }
      for (const id of here) everywhere.add(id);
    }
    sums.received += everywhere.size;
    for (let id = 0; id < ids; id += 1) {
      if (everywhere.has(id)) continue;
      if (mode === "kills" && kindOf(lane) === "message") sums.unpromised += 1;
      else count("lost", lane, id);
    }
  }
  return { ...sums, examples: [...examples].map(([key, { count, first }]) => `${count} ${key}, first ${first}`) };
}
