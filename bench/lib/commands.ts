/**
 * Commands from the harness to its two processes: one JSON object per line over standard input and output.
 * Request: `{id, command, args}`; reply: `{id, result}` or `{id, error}`.
 */
import type { StreamKind, Target } from "./peer.ts";

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
  /** Port on which the client's process signals that all clients have received a broadcast. */
  readonly signalPort: number;
}

/** Memory of the server. */
export interface Memory {
  /** Before any garbage collection is forced. */
  readonly rssBytes: number;
  /** After a full garbage collection; null for a server in another process. */
  readonly heapBytes: number | null;
  /** Heap and buffers, likewise. */
  readonly heldBytes: number | null;
}

/** CPU time used since the process began. */
export interface CpuTime {
  readonly cpuMs: number;
}

export interface BroadcastArgs {
  readonly perTurn: number;
  readonly seconds: number;
  /** To the subscribers of the topic, and not to every connection. */
  readonly topic?: boolean;
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
  /** Connects in progress at any time. */
  readonly concurrency: number;
}

export interface LoadArgs {
  readonly kind: "call" | "request" | "openStream";
  readonly inFlight: number;
  readonly seconds: number;
  /** Number of methods to rotate over. */
  readonly methods: number;
}

export interface LoadResult {
  readonly count: number;
  readonly seconds: number;
  /** Percentiles 50 and 99 of a call's milliseconds with one in flight, else null. The Python program has only the first. */
  readonly medianMs: number | null;
  readonly p99Ms?: number | null;
}

export interface PacedArgs {
  readonly perSecond: number;
  readonly seconds: number;
}

/** Milliseconds from the time a call was due; null if the peer didn't keep up with the rate. */
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

export interface MembershipArgs {
  readonly topics: number;
  /** Members of each topic. */
  readonly members: number;
}

export interface MembershipResult {
  readonly joinSeconds: number;
  readonly leaveSeconds: number;
  /** Heap that the memberships take together, after a collection. */
  readonly heapBytes: number;
}

/** Commands of the server's process. */
export interface ServerCommands {
  memberships: Command<MembershipArgs, MembershipResult>;
  start: Command<StartArgs, Started>;
  connectionCount: Command<null, number>;
  memory: Command<null, Memory>;
  cpu: Command<null, CpuTime>;
  broadcast: Command<BroadcastArgs, BroadcastResult>;
  watchMemory: Command<null, null>;
  memoryGrowth: Command<null, number>;
  stop: Command<null, null>;
}

export interface StreamArgs {
  readonly kind: StreamKind;
  readonly seconds: number;
}

export interface StreamResult {
  readonly items: number;
  readonly bytes: number;
  readonly seconds: number;
}

export interface FileArgs {
  readonly direction: "upload" | "download";
  readonly bytes: number;
}

/** Commands of the client's process. */
export interface ClientCommands {
  /** Moves a file, which is made before. A download fetches the last upload. */
  file: Command<FileArgs, { readonly seconds: number }>;
  /** Notes the resident memory, and watches it from now on. */
  watchMemory: Command<null, null>;
  /** Bytes by which it has grown at most. */
  memoryGrowth: Command<null, number>;
  connect: Command<ConnectArgs, { readonly seconds: number }>;
  disconnect: Command<null, null>;
  /** Makes one call on every connection in turn, if the peer has calls. */
  callEach: Command<null, null>;
  cpu: Command<null, CpuTime>;
  load: Command<LoadArgs, LoadResult>;
  paced: Command<PacedArgs, PacedResult>;
  transfer: Command<TransferArgs, TransferResult>;
  /** Reads a stream for a while, and ends it. */
  stream: Command<StreamArgs, StreamResult>;
  /** Has a stream of blocks each way for a while. */
  streamBothWays: Command<{ readonly seconds: number }, null>;
  /** Opens streams and takes one item of each. */
  stallStreams: Command<{ readonly count: number }, null>;
  /** Listens on all clients, and signals whenever each has received `perTurn` broadcasts. */
  watch: Command<
    {
      readonly signalPort: number;
      readonly perTurn: number;
      /** So many clients subscribe to the topic, and are watched. Default: all are watched for broadcasts. */
      readonly subscribers?: number;
    },
    null
  >;
  /** Deliveries since `watch` or the last `watched`. */
  watched: Command<null, WatchResult>;
}

/** Implementations of a set of commands. */
export type Handlers<Commands> = {
  readonly [Name in keyof Commands]: Commands[Name] extends Command<infer Args, infer Result>
    ? (args: Args) => Promise<Result> | Result
    : never;
};
