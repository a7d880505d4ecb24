/** What the bench must show, and whether a run shows it. */
import { findRow, type Row, rowRatio, rowSummary } from "./results.ts";
import { pairedRatio } from "./statistics.ts";

interface Measured {
  readonly scenario: string;
  readonly variant: string;
  readonly metric: string;
  readonly pair: string;
}

/** A bound on netconduit's number. */
export type Goal = Measured & {
  readonly text: string;
  readonly bound: "at least" | "at most";
  readonly value: number;
} & (
    | { readonly kind: "ratio"; readonly to: string }
    /** Netconduit's number less the other's. */
    | { readonly kind: "difference"; readonly to: string; readonly unit: string }
    /** Netconduit's number over its own at `from`, over the same of the other. */
    | { readonly kind: "growth"; readonly to: string; readonly from: string }
  );

/** A goal, judged. */
export interface Verdict {
  readonly goal: Goal;
  /** Null: the run does not have the numbers. */
  readonly actual: number | null;
  readonly state: "met" | "missed" | "not measured";
}

const OURS = "netconduit";

const MANY = { scenario: "rpc", variant: "64 in flight", metric: "calls", pair: "node" } as const;
const ONE = { scenario: "broadcast", variant: "one at a time", metric: "deliveries", pair: "node" } as const;
const LARGE = { scenario: "memory", variant: "10000 connections", pair: "node" } as const;
const GROWN = { scenario: "connections", variant: "10000 connections", pair: "node" } as const;

function atLeast(where: Measured, text: string, to: string, value: number): Goal {
  return { ...where, text, kind: "ratio", to, bound: "at least", value };
}

/** All goals, in the order of the table. */
export const GOALS: readonly Goal[] = [
  atLeast(MANY, "RPC, 64 in flight: times ws + JSON", "ws", 2.2),
  atLeast(MANY, "RPC, 64 in flight: times socket.io", "socket.io", 4),
  atLeast(MANY, "RPC, 64 in flight: times rpc-websockets", "rpc-websockets", 3),
  atLeast(MANY, "RPC, 64 in flight: times capnweb", "capnweb", 6),
  atLeast(MANY, "RPC, 64 in flight: times grpc-js", "grpc-js", 35),
  atLeast(MANY, "RPC, 64 in flight: times netconduit for Python", "netconduit-python", 20),
  atLeast(MANY, "RPC, 64 in flight: times the bare loop", "bare", 0.95),
  {
    ...{ scenario: "rpc", variant: "1 in flight", metric: "p50", pair: "node" },
    ...{ text: "One call at a time, p50: times raw echo", kind: "ratio", to: "raw", bound: "at most", value: 1.3 },
  },
  atLeast(ONE, "Broadcast, one at a time: times a raw write loop", "raw", 0.95),
  atLeast(ONE, "Broadcast, one at a time: times ws", "ws", 1.3),
  atLeast(ONE, "Broadcast, one at a time: times socket.io", "socket.io", 2),
  atLeast(
    { ...ONE, variant: "ten in a tick" },
    "Broadcast, ten in a tick: times a raw loop of single writes",
    "raw",
    4,
  ),
  atLeast(
    { scenario: "connects", variant: "64 at a time", metric: "connects", pair: "node" },
    "Connects per second, SCRAM included: times ws upgrades",
    "ws",
    1,
  ),
  {
    ...{ ...LARGE, metric: "rss" },
    ...{ text: "Idle connection, RSS: times raw", kind: "ratio", to: "raw", bound: "at most", value: 1.2 },
  },
  {
    ...{ ...LARGE, metric: "heap" },
    ...{ text: "Idle connection, heap above raw", kind: "difference", to: "raw", unit: "KiB" },
    ...{ bound: "at most", value: 3 },
  },
  ...["to the server", "to the client"].map((direction) =>
    atLeast(
      { scenario: "binary", variant: `1 MiB ${direction}`, metric: "speed", pair: "node" },
      `1 MiB ${direction}: times raw TCP`,
      "raw",
      0.85,
    ),
  ),
  ...["delivery", "connect"].map(
    (metric): Goal => ({
      ...{ ...GROWN, metric },
      ...{ text: `Cost of a ${metric}, from 100 to 10,000 connections: times raw's growth`, kind: "growth" },
      ...{ from: "100 connections", to: "raw", bound: "at most", value: 1.25 },
    }),
  ),
  atLeast({ ...MANY, pair: "bun" }, "On Bun, RPC: times its own WebSocket + JSON", "bun-websocket", 2),
  atLeast({ ...MANY, pair: "deno" }, "On Deno, RPC: times its own WebSocket + JSON", "deno-websocket", 2),
];

function actualOf(goal: Goal, rows: readonly Row[]): number | null {
  const ours = findRow(rows, { ...goal, peer: OURS });
  if (ours === undefined) return null;
  switch (goal.kind) {
    case "ratio":
      // Ten in a tick is held against single writes: raw's own ten in a tick are single writes, too.
      return rowRatio(rows, ours, goal.to)?.median ?? null;
    case "difference": {
      const other = findRow(rows, { ...goal, peer: goal.to });
      const our = rowSummary(ours);
      const their = other === undefined ? null : rowSummary(other);
      return our === null || their === null ? null : our.median - their.median;
    }
    case "growth": {
      const growth = (peer: string): number | null => {
        const before = findRow(rows, { ...goal, peer, variant: goal.from });
        const after = findRow(rows, { ...goal, peer });
        if (before === undefined || after === undefined) return null;
        return pairedRatio(after.samples, before.samples)?.median ?? null;
      };
      const our = growth(OURS);
      const their = growth(goal.to);
      return our === null || their === null ? null : our / their;
    }
  }
}

/** Judges goals by a run's rows. A number exactly at its bound meets it. */
export function judge(rows: readonly Row[], goals: readonly Goal[] = GOALS): Verdict[] {
  return goals.map((goal) => {
    const actual = actualOf(goal, rows);
    if (actual === null) return { goal, actual, state: "not measured" };
    const met = goal.bound === "at least" ? actual >= goal.value : actual <= goal.value;
    return { goal, actual, state: met ? "met" : "missed" };
  });
}
