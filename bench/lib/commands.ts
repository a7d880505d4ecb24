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
  /** Port to which the client process sends a signal when all clients have received a broadcast. */
  readonly signalPort: number;
}

/** Memory of the server. */
export interface Memory {
  /** Measured before any forced garbage collection. */
  readonly rssBytes: number;
  /** After a full garbage collection; null for a server in another process. */
  readonly heapBytes: number | null;
  /** Heap and buffers, under the same conditions. */
  readonly heldBytes: number | null;
}

/** CPU time used since the process started. */
export interface CpuTime {
  readonly cpuMs: number;
}

export interface BroadcastArgs {
  readonly perTurn: number;
  readonly seconds: number;
  /** Whether to publish to the topic's subscribers instead of broadcasting to every connection. */
  readonly topic?: boolean;
}

export interface BroadcastResult {
  /** Messages passed to `broadcast`; each is sent to every connection. */
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
  /** Percentiles 50 and 99 of a call's milliseconds with one call in flight, else null. The Python program only has the first. */
  readonly medianMs: number | null;
  readonly p99Ms?: number | null;
}

export interface PacedArgs {
  readonly perSecond: number;
  readonly seconds: number;
}

/** Milliseconds since the time a call was due; null if the peer didn't keep up with the rate. */
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
  /** Total deliveries to all clients, and the sum of their numbers. */
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
  /** Heap used by all memberships, after a collection. */
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
  /** Transfers a file, which is created before the measurement. A download fetches the last upload. */
  file: Command<FileArgs, { readonly seconds: number }>;
  /** Starts tracking the growth of the resident memory. */
  watchMemory: Command<null, null>;
  /** Ends the tracking. Returns the maximum growth in bytes. */
  memoryGrowth: Command<null, number>;
  connect: Command<ConnectArgs, { readonly seconds: number }>;
  disconnect: Command<null, null>;
  /** Makes one call on each connection in turn, if the peer supports calls. */
  callEach: Command<null, null>;
  cpu: Command<null, CpuTime>;
  load: Command<LoadArgs, LoadResult>;
  paced: Command<PacedArgs, PacedResult>;
  transfer: Command<TransferArgs, TransferResult>;
  /** Reads a stream for the given time, then ends it. */
  stream: Command<StreamArgs, StreamResult>;
  /** Runs a stream of blocks in each direction for the given time. */
  streamBothWays: Command<{ readonly seconds: number }, null>;
  /** Opens streams and reads one item of each. */
  stallStreams: Command<{ readonly count: number }, null>;
  /** Listens on all clients, and sends a signal whenever each has received `perTurn` broadcasts. */
  watch: Command<
    {
      readonly signalPort: number;
      readonly perTurn: number;
      /** Number of clients that subscribe to the topic and are counted. Default: broadcasts are counted on all clients. */
      readonly subscribers?: number;
    },
    null
  >;
  /** Returns the deliveries since `watch` or the last `watched`. */
  watched: Command<null, WatchResult>;
}

/** Implementations of a set of commands. */
export type Handlers<Commands> = {
  readonly [Name in keyof Commands]: Commands[Name] extends Command<infer Args, infer Result>
    ? (args: Args) => Promise<Result> | Result
    : never;
};
