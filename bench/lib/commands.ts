/**
 * The commands between the harness and its two processes: JSON, one object a line, over standard input and output.
 * `{id, command, args}` goes in, `{id, result}` or `{id, error}` comes back.
 */
import type { Target } from "./peer.ts";

/** Arguments and result of one command. */
interface Command<Args, Result> {
  readonly args: Args;
  readonly result: Result;
}

export interface StartArgs {
  readonly tls: boolean;
  readonly maxConnections: number;
  readonly maxPayloadBytes: number;
  readonly methods: number;
}

export interface Started {
  readonly target: Target;
  /** Port on which the client's process says that a broadcast has arrived everywhere. */
  readonly signalPort: number;
}

/** Memory of the server. */
export interface Memory {
  /** As it is, before anything is collected. */
  readonly rssBytes: number;
  /** After a full garbage collection; null where it is not this process's to know. */
  readonly heapBytes: number | null;
}

/** CPU time used since the process began. */
export interface CpuTime {
  readonly cpuMs: number;
}

export interface BroadcastArgs {
  readonly perTurn: number;
  readonly seconds: number;
}

export interface BroadcastResult {
  /** Messages given to `broadcast`; each goes to every connection. */
  readonly messages: number;
  /** Sum of their numbers. */
  readonly sum: number;
  readonly seconds: number;
}

export interface ConnectArgs {
  readonly target: Target;
  readonly tls: boolean;
  readonly maxPayloadBytes: number;
  readonly count: number;
  /** How many are being opened at any time. */
  readonly concurrency: number;
}

export interface LoadArgs {
  readonly kind: "call" | "request";
  readonly inFlight: number;
  readonly seconds: number;
  /** Methods to rotate over. */
  readonly methods: number;
}

export interface LoadResult {
  readonly count: number;
  readonly seconds: number;
  /** Median milliseconds of one call; only with one in flight, else null. */
  readonly medianMs: number | null;
}

export interface PacedArgs {
  readonly perSecond: number;
  readonly seconds: number;
}

/** Milliseconds from when a call was due, or null: it did not keep up, and the calls that waited ended the run. */
export type PacedResult = { readonly p50: number; readonly p99: number; readonly p999: number } | null;

export interface TransferArgs {
  readonly direction: "upload" | "download";
  readonly bytes: number;
  readonly inFlight: number;
  readonly seconds: number;
}

export interface TransferResult {
  readonly messages: number;
  readonly seconds: number;
}

export interface WatchResult {
  /** Deliveries to all clients together, and the sum of their numbers. */
  readonly deliveries: number;
  readonly sum: number;
}

/** Commands of the server's process. */
export interface ServerCommands {
  start: Command<StartArgs, Started>;
  connectionCount: Command<null, number>;
  memory: Command<null, Memory>;
  cpu: Command<null, CpuTime>;
  broadcast: Command<BroadcastArgs, BroadcastResult>;
  stop: Command<null, null>;
}

/** Commands of the client's process. */
export interface ClientCommands {
  connect: Command<ConnectArgs, { readonly seconds: number }>;
  disconnect: Command<null, null>;
  /** Makes one call on every connection, one after the other, where the peer has calls. */
  callEach: Command<null, null>;
  cpu: Command<null, CpuTime>;
  load: Command<LoadArgs, LoadResult>;
  paced: Command<PacedArgs, PacedResult>;
  transfer: Command<TransferArgs, TransferResult>;
  /** Listens on all clients; says so on the signal port whenever each of them has got `perTurn` broadcasts. */
  watch: Command<{ readonly signalPort: number; readonly perTurn: number }, null>;
  /** What came since `watch` or the last `watched`. */
  watched: Command<null, WatchResult>;
}

/** Functions that carry out a set of commands. */
export type Handlers<Commands> = {
  readonly [Name in keyof Commands]: Commands[Name] extends Command<infer Args, infer Result>
    ? (args: Args) => Promise<Result> | Result
    : never;
};
