/**
 * What the bench needs of a peer, a library or protocol under test.
 *
 * A peer is a module `peers/<name>.ts` that exports `peer`, a {@link Peer}; `peers/index.ts` lists the names. The
 * harness imports the module in three kinds of process: in its own (Node) for the facts about the peer, in the server's
 * process, where it calls `startServer` once, and in the client's, where it calls `connect` for each connection. So a
 * module imports its library inside these functions (`await import("…")`) when it can't be loaded on every runtime.
 *
 * Rules that make the numbers comparable:
 *
 * - A peer is used as its own documentation says, with compression off, Nagle's algorithm off, on 127.0.0.1.
 * - `add` checks its parameters on the server by `AddSchema` of `workload.ts`, or by its equal where the peer has a
 *   schema language of its own (protobuf).
 * - A server of a peer that runs on several runtimes uses what its documentation says for each.
 * - Nothing is cached, batched or left out by the peer module that a program using the library would not.
 * - What goes wrong throws, or rejects: the harness checks every sum, reply, mark and count, and reports the peer as
 *   failed in that scenario.
 */
import type { AddParams, Message, News } from "./workload.ts";

export type RuntimeName = "node" | "bun" | "deno";

export type Side = "server" | "client";

/** What a peer may lack. `binary`: bytes of many sizes; `methods`: a choice of registered method names. */
export type Feature = "rpc" | "request" | "broadcast" | "binary" | "tls" | "methods" | "memory" | "connects";

/** PEM texts of a certificate for localhost and 127.0.0.1, its key, and the CA that signed it. */
export interface Certificates {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/** How a server is started. */
export interface ServerOptions {
  /** Null: plain TCP. Set only when the peer does not lack `tls`. */
  readonly tls: Certificates | null;
  /** Connections that will be opened at most; limits below it have to be raised. */
  readonly maxConnections: number;
  /** Largest payload that will be sent either way, in bytes; limits below it (and some overhead) have to be raised. */
  readonly maxPayloadBytes: number;
  /** Methods to register, `methodName(0)` to `methodName(methods - 1)`, each of them adding. */
  readonly methods: number;
}

/** Where a server is, as JSON: it travels to the client's process. `host` is 127.0.0.1, or localhost with TLS. */
export interface Target {
  readonly host: string;
  readonly port: number;
  /** Anything else the peer's `connect` needs, a URL path or a password. */
  readonly extra?: Readonly<Record<string, string>>;
}

/** How a client connects. */
export interface ClientOptions {
  readonly tls: Certificates | null;
  readonly maxPayloadBytes: number;
}

/** A server that listens. */
export interface BenchServer {
  readonly target: Target;
  /** Connections that are open, and logged in where there is a login. */
  connectionCount(): number;
  /**
   * Sends `news` to every connection. Called several times in one turn of the event loop when a burst is measured; it
   * need not wait until anything has left.
   */
  broadcast?(news: News): void;
  /** Process ids of servers beside this process (nats-server, Python) whose memory counts in place of this one's. */
  readonly processIds?: readonly number[];
  /** Ends everything it started. Clients may still be connected. */
  close(): Promise<void>;
}

/** A connection that is open, and logged in where there is a login. */
export interface BenchClient {
  /** Calls `add`, or with `method` the method `methodName(method)`; resolves with the sum the server computed. */
  call?(params: AddParams, method?: number): Promise<number>;
  /** Sends a message and resolves with the reply, in which the server sends the same message back. */
  request?(message: Message): Promise<Message>;
  /** Calls `listener` for every broadcast from now on. Called at most once per client; resolves when it is in effect. */
  onBroadcast?(listener: (news: News) => void): Promise<void>;
  /** Sends bytes, as one message; resolves with `mark(bytes)` of what the server received. */
  upload?(bytes: Uint8Array): Promise<number>;
  /** Has the server send `servedBytes(length)` as one message; resolves with `mark(bytes)` of what arrived here. */
  download?(length: number): Promise<number>;
  /** Ends the connection; resolves once this end has closed. */
  close(): Promise<void>;
}

/** A library or protocol under test. */
export interface Peer {
  /** Of its file, and of the option `--peers`. */
  readonly name: string;
  /** For tables: `ws + JSON`. */
  readonly title: string;
  /** One or two sentences for the README: how it is used here. */
  readonly usage: string;
  /** Address of the documentation that says so. */
  readonly documentation: string;
  /** Runtimes on which its server and its client run here. */
  readonly runtimes: { readonly server: readonly RuntimeName[]; readonly client: readonly RuntimeName[] };
  /** Where it is measured without being named by `--peers`. Default: wherever it runs. */
  readonly usual?: readonly RuntimeName[];
  /** Whether server and client may run on different runtimes. False: only pairs of one runtime are measured. */
  readonly mixed: boolean;
  /** What it has not, or can't do here, and why. The reason is printed. */
  readonly lacks: Readonly<Partial<Record<Feature, string>>>;
  /** Most connections it is measured with, and why; without it, 10,000. */
  readonly maxConnections?: { readonly count: number; readonly reason: string };
  /** Null when it can run on this machine, or why it can't: `nats-server is not installed (apt install nats-server)`. */
  missing(): Promise<string | null>;
  /** Version of the library, for the report. */
  version(): Promise<string>;
  startServer(options: ServerOptions): Promise<BenchServer>;
  connect(target: Target, options: ClientOptions): Promise<BenchClient>;
  /**
   * For a peer in another language: the program of each side, and its arguments. It carries out the commands of
   * `commands.ts` in place of `process.ts`; `startServer` and `connect` are not called then.
   */
  program?(side: Side): Promise<readonly [program: string, ...args: string[]]>;
}
