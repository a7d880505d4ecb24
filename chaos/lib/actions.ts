/** Actions of the runner on processes and on all connections, ordered by the part of a run that has been received. */

import type { Random } from "../../packages/core/src/test-support/random.ts";
import type { Side } from "./journal.ts";
import { hasKills, type Mode } from "./workload.ts";

export type Action =
  /** Stopped beyond the heartbeat's timeout, then continued. */
  | { readonly kind: "stop"; readonly side: Side }
  | { readonly kind: "kill"; readonly side: Side }
  /** The wall clock jumps. */
  | { readonly kind: "jump"; readonly side: Side; readonly ms: number }
  /** Connections are refused for a time, and those that exist are cut. */
  | { readonly kind: "refuse" }
  /** Nothing passes between the namespaces for a time. */
  | { readonly kind: "part"; readonly ms: number }
  /** The disk of the store is full for a time. */
  | { readonly kind: "fill"; readonly ms: number }
  /** The server is killed, finds the disk of its store read-only when it starts, and is started again when it isn't. */
  | { readonly kind: "read-only" };

export interface TimedAction {
  /** Part of the run, 0 to 1. */
  readonly at: number;
  readonly action: Action;
}

const DAY_MS = 86_400_000;
const SIDES: readonly Side[] = ["server", "client"];

/** @param count how many of each kind and side */
export function actionsOf(mode: Mode, random: Random, count: number): TimedAction[] {
  const timed: TimedAction[] = [];
  const add = (action: Action): void => {
    // Some of the run is left for what comes back.
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
    // Some within the heartbeat's timeout, some beyond.
    else for (const ms of [300, 6000]) add({ kind: "part", ms });
  }
  return timed.sort((a, b) => a.at - b.at);
}
