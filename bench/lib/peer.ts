/**
 * The interface of a peer: a library or protocol under test.
 *
 * A peer is a module `peers/<name>.ts` that exports `peer`, a {@link Peer}; `peers/index.ts` lists the names. The
 * module is imported in three processes: the harness (Node) for the peer's properties, the server's process, which
 * calls `startServer` once, and the client's, which calls `connect` for each connection. A library that can't be loaded
 * on every runtime is imported inside these functions (`await import("…")`).
 *
 * Rules for comparable numbers:
 *
 * - A peer is used according to its own documentation, with compression off, Nagle's algorithm off, on 127.0.0.1.
 * - `add` checks its parameters on the server with `AddSchema` of `workload.ts`, or the equivalent in the peer's own
 *   schema language (protobuf).
 * - On each runtime, a server is set up according to its documentation for that runtime.
 * - The peer module caches, batches and omits nothing that a program using the library wouldn't.
 * - Failures throw or reject: the harness checks every sum, reply, mark and count, and reports the peer as failed in
 *   that scenario.
 */
import type { AddParams, Message, News } from "./workload.ts";

export type RuntimeName = "node" | "bun" | "deno";

/** An endless stream of the server: items `{n, text}` of about 64 bytes, or binary items of 64 KiB. */
export type StreamKind = "items" | "blocks";

export type Side = "server" | "client";

/** Features a peer may lack. `binary`: bytes of any size; `methods`: several registered methods. */
export type Feature = "rpc" | "request" | "broadcast" | "binary" | "tls" | "methods" | "memory" | "connects";

/** PEM texts of a certificate for localhost and 127.0.0.1, its key, and the CA that signed it. */
export interface Certificates {
  readonly cert: string;
  readonly key: string;
  readonly ca: string;
}

/** Options of a server. */
export interface ServerOptions {
  /** Null for plain TCP. Set only if the peer doesn't lack `tls`. */
  readonly tls: Certificates | null;
  /** Maximum connections that will be opened; the peer raises lower limits. */
  readonly maxConnections: number;
  /** Largest payload in either direction, in bytes; the peer raises lower limits, including overhead. */
  readonly maxPayloadBytes: number;
  /** Number of methods to register, `methodName(0)` to `methodName(methods - 1)`; each adds. */
  readonly methods: number;
}

/** A server's address, sent to the client process as JSON. `host` is 127.0.0.1, or localhost with TLS. */
export interface Target {
  readonly host: string;
  readonly port: number;
  /** Other data for the peer's `connect`, such as a URL path or a password. */
  readonly extra?: Readonly<Record<string, string>>;
}

/** Options of a client. */
export interface ClientOptions {
  readonly tls: Certificates | null;
  readonly maxPayloadBytes: number;
}

/** A listening server. */
export interface BenchServer {
  readonly target: Target;
  /** Open connections; those logged in, if there is a login. */
  connectionCount(): number;
  /**
   * Sends `news` to every connection without waiting for the writes. To measure a burst, it is called several times
   * in one turn of the event loop.
   */
  broadcast?(news: News): void;
  /** Sends `news` to the subscribers of the topic, like `broadcast`. */
  publish?(news: News): void;
  /**
   * Adds the connections to topics in rotation, so that each of `topics` topics has `members`. Resolves when all are
   * added.
   */
  joinTopics?(topics: number, members: number): Promise<void>;
  /** Reverts `joinTopics`, member by member. */
  leaveTopics?(): Promise<void>;
  /** Ids of other server processes (nats-server, Python), whose memory is measured instead of this process's. */
  readonly processIds?: readonly number[];
  /** Stops everything that was started. Clients may still be connected. */
  close(): Promise<void>;
}

/** SHA-256 of a file in hex, or a function that computes it if the peer itself doesn't. */
export type FileHash = string | (() => Promise<string>);

/** An open connection; logged in, if there is a login. */
export interface BenchClient {
  /** Calls `methodName(method)`, by default `add`; resolves with the sum that the server computed. */
  call?(params: AddParams, method?: number): Promise<number>;
  /** Sends a message and resolves with the reply, which is the same message. */
  request?(message: Message): Promise<Message>;
  /** Calls `listener` for every broadcast after this has resolved. Called at most once per client. */
  onBroadcast?(listener: (news: News) => void): Promise<void>;
  /** Subscribes to the topic. Calls `listener` for everything published after this has resolved. */
  onTopic?(listener: (news: News) => void): Promise<void>;
  /** Sends bytes as one message; resolves with `mark(bytes)` as the server received them. */
  upload?(bytes: Uint8Array): Promise<number>;
  /** Makes the server send `servedBytes(length)` as one message; resolves with `mark(bytes)` as received here. */
  download?(length: number): Promise<number>;
  /**
   * Reads a stream, with `n` starting at 0. Calls `received` for each item, or with the bytes of blocks in pieces of
   * any size. Resolves with a function that ends the stream.
   */
  stream?(kind: StreamKind, received: (item: News | Uint8Array) => void): Promise<() => Promise<void>>;
  /** Sends an endless stream of binary items of 64 KiB to the server. Resolves with a function that ends it. */
  streamUp?(): Promise<() => Promise<void>>;
  /** Opens a stream with the single item 1 and reads it to the end; resolves with the item. */
  openStream?(): Promise<number>;
  /** Opens a stream of newly created items of 64 KiB, reads one, and leaves the stream open. */
  stallStream?(): Promise<void>;
  /** Uploads the file at `path`, always under the same name; resolves with the hash of the file on the server's disk. */
  sendFile?(path: string): Promise<FileHash>;
  /** Downloads the uploaded file to `path`; resolves with its hash when it is complete. */
  fetchFile?(path: string): Promise<FileHash>;
  /** Ends the connection; resolves once this end has closed. */
  close(): Promise<void>;
}

/** A library or protocol under test. */
export interface Peer {
  /** Name of the module file, and in `--peers`. */
  readonly name: string;
  /** Title in tables: `ws + JSON`. */
  readonly title: string;
  /** Text for the README: how the bench uses the peer, in one or two sentences. */
  readonly usage: string;
  /** URL of the documentation that it follows. */
  readonly documentation: string;
  /** Runtimes supported by the server and by the client. */
  readonly runtimes: { readonly server: readonly RuntimeName[]; readonly client: readonly RuntimeName[] };
  /** Runtimes measured by default, without `--peers`. Default: all supported ones. */
  readonly usual?: readonly RuntimeName[];
  /** Scenarios to run. Default: all. */
  readonly scenarios?: readonly string[];
  /** Whether server and client may run on different runtimes. */
  readonly mixed: boolean;
  /** Features that are missing or can't be measured, with the reason to print. */
  readonly lacks: Readonly<Partial<Record<Feature, string>>>;
  /** Maximum connections to measure, and the reason. Default: 10,000. */
  readonly maxConnections?: { readonly count: number; readonly reason: string };
  /** Null if the peer can run on this machine, else the reason: `nats-server is not installed`. */
  missing(): Promise<string | null>;
  /** The library's version, for the report. */
  version(): Promise<string>;
  startServer(options: ServerOptions): Promise<BenchServer>;
  connect(target: Target, options: ClientOptions): Promise<BenchClient>;
  /**
   * For a peer in another language: the program of each side, and its arguments. The program implements the commands
   * of `commands.ts` instead of `process.ts`; `startServer` and `connect` aren't called.
   */
  program?(side: Side): Promise<readonly [program: string, ...args: string[]]>;
}
