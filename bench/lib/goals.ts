/** The goals, and whether a run meets them. */
import { findRow, type Row, rowRatio } from "./results.ts";
import { pairedRatio } from "./statistics.ts";

interface Measured {
  readonly scenario: string;
  readonly variant: string;
  readonly metric: string;
  readonly pair: string;
}

/** A bound on netconduit's number, relative to another peer's number in the same run. */
export type Goal = Measured & {
  readonly text: string;
  readonly bound: "at least" | "at most";
  readonly value: number;
  /** The peer that netconduit is compared to. */
  readonly to: string;
} & (
    | { readonly kind: "ratio" }
    /** Ratio of netconduit's number to its own at the variant `from`, divided by the other peer's ratio. */
    | { readonly kind: "growth"; readonly from: string }
    /** Ratio of netconduit's number to its own at the variant `from`; `to` is netconduit. */
    | { readonly kind: "own"; readonly from: string }
  );

/** The verdict on a goal. */
export interface Verdict {
  readonly goal: Goal;
  /** Null if the run doesn't contain the numbers. */
  readonly actual: number | null;
  readonly state: "met" | "missed" | "not measured";
}

const OURS = "netconduit";

const NODE = { pair: "node" } as const;
const MANY = { ...NODE, scenario: "rpc", variant: "64 in flight", metric: "calls" } as const;
const ONE = { ...NODE, scenario: "rpc", variant: "1 in flight", metric: "p50" } as const;
const SINGLE = { ...NODE, scenario: "broadcast", variant: "one at a time", metric: "deliveries" } as const;
const CONNECTS = { ...NODE, scenario: "connects", variant: "64 at a time", metric: "connects" } as const;
const IDLE = { ...NODE, scenario: "memory", variant: "10000 connections", metric: "rss" } as const;
const GROWN = { ...NODE, scenario: "connections", variant: "10000 connections" } as const;

const ITEMS = { ...NODE, scenario: "streams", variant: "64 B items", metric: "items" } as const;

function ratio(bound: Goal["bound"], value: number, to: string, where: Measured, text: string): Goal {
  return { ...where, text, kind: "ratio", to, bound, value };
}

function mebibytes(direction: string): Goal {
  const where = { ...NODE, scenario: "binary", variant: `1 MiB ${direction}`, metric: "speed" };
  return ratio("at least", 0.6, "raw", where, `1 MiB ${direction}, data kept: × raw TCP`);
}

function growth(metric: string): Goal {
  return {
    ...GROWN,
    metric,
    text: `Cost of a ${metric}, from 100 to 10,000 connections: × raw's growth`,
    kind: "growth",
    from: "100 connections",
    to: "raw",
    bound: "at most",
    value: 1.25,
  };
}

/** All goals, in the order of the table. */
export const GOALS: readonly Goal[] = [
  ratio("at least", 3.3, "ws", MANY, "RPC, 64 in flight: × ws + JSON"),
  ratio("at least", 4.5, "socket.io", MANY, "RPC, 64 in flight: × socket.io"),
  ratio("at least", 50, "grpc-js", MANY, "RPC, 64 in flight: × grpc-js"),
  ratio("at least", 1.8, "bare", MANY, "RPC, 64 in flight: × the bare loop"),
  ratio("at least", 3, "rpc-websockets", MANY, "RPC, 64 in flight: × rpc-websockets"),
  ratio("at least", 6, "capnweb", MANY, "RPC, 64 in flight: × capnweb"),
  ratio("at least", 20, "netconduit-python", MANY, "RPC, 64 in flight: × netconduit for Python"),
  ratio("at most", 1.15, "raw", ONE, "RPC, one in flight, p50: × raw echo"),
  ratio("at least", 1.15, "ws", SINGLE, "Broadcast, one at a time: × ws"),
  ratio(
    "at least",
    2.5,
    "raw",
    { ...SINGLE, variant: "ten in a tick" },
    "Broadcast, ten in a tick: × raw single writes",
  ),
  ratio("at least", 0.9, "ws", CONNECTS, "Connects per second, SCRAM included: × ws upgrades"),
  ratio("at most", 1, "ws", IDLE, "Idle connection, RSS: × ws"),
  mebibytes("to the server"),
  mebibytes("to the client"),
  ratio("at least", 3, "ws", ITEMS, "Stream of 64 B items: × ws messages with JSON"),
  ratio("at least", 20, "grpc-js", ITEMS, "Stream of 64 B items: × grpc-js server streaming"),
  ratio(
    "at least",
    0.85,
    "raw",
    { ...NODE, scenario: "streams", variant: "64 KiB items", metric: "speed" },
    "Stream of 64 KiB binary items: × raw TCP",
  ),
  ...["to the server", "to the client"].map((way) => {
    const where = { ...NODE, scenario: "files", variant: `a file ${way}`, metric: "speed" };
    return ratio("at least", 0.9, "raw", where, `File of 1 GiB ${way}, hashed by both sides: × raw TCP`);
  }),
  {
    ...NODE,
    scenario: "streams",
    variant: "a stream of one item, one in flight",
    metric: "p50",
    text: "Stream of one item, p50: × a call",
    kind: "own",
    from: "a call, one in flight",
    to: OURS,
    bound: "at most",
    value: 1,
  },
  growth("delivery"),
  growth("connect"),
  ratio("at least", 2, "bun-websocket", { ...MANY, pair: "bun" }, "On Bun, RPC: × its own WebSocket + JSON"),
  ratio("at least", 2, "deno-websocket", { ...MANY, pair: "deno" }, "On Deno, RPC: × its own WebSocket + JSON"),
];

function growthOf(goal: Measured & { readonly from: string }, rows: readonly Row[], peer: string): number | null {
  const before = findRow(rows, { ...goal, peer, variant: goal.from });
  const after = findRow(rows, { ...goal, peer });
  if (before === undefined || after === undefined) return null;
  return pairedRatio(after.samples, before.samples)?.median ?? null;
}

function actualOf(goal: Goal, rows: readonly Row[]): number | null {
  if (goal.kind === "growth") {
    const ours = growthOf(goal, rows, OURS);
    const theirs = growthOf(goal, rows, goal.to);
    return ours === null || theirs === null ? null : ours / theirs;
  }
  if (goal.kind === "own") return growthOf(goal, rows, OURS);
  const row = findRow(rows, { ...goal, peer: OURS });
  return row === undefined ? null : (rowRatio(rows, row, goal.to)?.median ?? null);
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
