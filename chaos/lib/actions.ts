/** The runner's actions on processes and connections, each scheduled at a fraction of a run's received ids. */

import type { Random } from "../../packages/core/src/test-support/random.ts";
import type { Side } from "./journal.ts";
import { hasKills, type Mode } from "./workload.ts";

export type Action =
  /** Pauses a process beyond the heartbeat timeout, then continues it. */
  | { readonly kind: "stop"; readonly side: Side }
  | { readonly kind: "kill"; readonly side: Side }
  /** Makes the wall clock jump. */
  | { readonly kind: "jump"; readonly side: Side; readonly ms: number }
  /** Refuses connections for a while, and cuts existing ones. */
  | { readonly kind: "refuse" }
  /** Partitions the network between the namespaces for a while. */
  | { readonly kind: "part"; readonly ms: number }
  /** Fills the store's disk for a while. */
  | { readonly kind: "fill"; readonly ms: number }
  /** Kills the server, restarts it with a read-only store disk, which must fail, and restarts it with a writable one. */
  | { readonly kind: "read-only" };

export interface TimedAction {
  /** Fraction of the run, 0 to 1. */
  readonly at: number;
  readonly action: Action;
}

const DAY_MS = 86_400_000;
const SIDES: readonly Side[] = ["server", "client"];

/** @param count number of actions of each kind and side */
export function actionsOf(mode: Mode, random: Random, count: number): TimedAction[] {
  const timed: TimedAction[] = [];
  const add = (action: Action): void => {
    // Leave the end of the run for recovery.
    timed.push({ at: 0.02 + 0.85 * random.next(), action });
  };
  for (let n = 0; n < count; n += 1) {
    for (const side of SIDES) {
      add({ kind: hasKills(mode) ? "kill" : "stop", side });
      add({ kind: "jump", side, ms: Math.round((2 * random.next() - 1) * DAY_MS * 40) });
    }
    if (mode === "disk") {
      add({ kind: "fill", ms: 1500 });
      add({ kind: "read-only" });
    }
    if (mode !== "network") add({ kind: "refuse" });
    // One within the heartbeat timeout, one beyond.
    else for (const ms of [300, 6000]) add({ kind: "part", ms });
  }
  return timed.sort((a, b) => a.at - b.at);
}
