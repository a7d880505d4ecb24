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
 * - A peer is used as its own documentation says, with compression off, Nagle's algorithm off, on 127.0.0.1.
 * - `add` checks its parameters on the server with `AddSchema` of `workload.ts`, or the equivalent in the peer's own
 *   schema language (protobuf).
 * - On each runtime a server is set up as its documentation says for that runtime.
 * - The peer module caches, batches and omits nothing that a program using the library wouldn't.
 * - Failures throw or reject: the harness checks every sum, reply, mark and count, and reports the peer as failed in
 *   that scenario.
 */
import type { AddParams, Message, News } from "./workload.ts";

export type RuntimeName = "node" | "bun" | "deno";

/** A stream of the server without an end: items `{n, text}` of about 64 bytes, or binary items of 64 KiB. */
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
  /** Most connections that will be opened; the peer raises lower limits. */
  readonly maxConnections: number;
  /** Largest payload in either direction, in bytes; the peer raises lower limits, with room for overhead. */
  readonly maxPayloadBytes: number;
  /** Number of methods to register, `methodName(0)` to `methodName(methods - 1)`; each adds. */
  readonly methods: number;
}

/** A server's address, sent to the client's process as JSON. `host` is 127.0.0.1, or localhost with TLS. */
export interface Target {
  readonly host: string;
  readonly port: number;
  /** Anything else the peer's `connect` needs, a URL path or a password. */
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
   * Sends `news` to every connection, and doesn't wait until it is sent. Called several times in one turn of the event
   * loop when a burst is measured.
   */
  broadcast?(news: News): void;
  /** Sends `news` to the subscribers of the topic, like `broadcast`. */
  publish?(news: News): void;
  /**
   * Makes all connections members of topics, by turns, so that each of `topics` topics has `members`. Resolves when all are.
   */
  joinTopics?(topics: number, members: number): Promise<void>;
  /** Undoes `joinTopics`, member by member. */
  leaveTopics?(): Promise<void>;
  /** Ids of other server processes (nats-server, Python), whose memory counts instead of this process's. */
  readonly processIds?: readonly number[];
  /** Ends everything it started. Clients may still be connected then. */
  close(): Promise<void>;
}

/** SHA-256 of a file in hex, or a function that computes it, if the peer doesn't. */
export type FileHash = string | (() => Promise<string>);

/** An open connection; logged in, if there is a login. */
export interface BenchClient {
  /** Calls `methodName(method)`, by default `add`; resolves with the sum that the server computed. */
  call?(params: AddParams, method?: number): Promise<number>;
  /** Sends a message and resolves with the reply, which is the same message. */
  request?(message: Message): Promise<Message>;
  /** Calls `listener` for every broadcast from the time it resolves. Called at most once per client. */
  onBroadcast?(listener: (news: News) => void): Promise<void>;
  /** Subscribes to the topic. Calls `listener` for what is published from the time it resolves. */
  onTopic?(listener: (news: News) => void): Promise<void>;
  /** Sends bytes as one message; resolves with `mark(bytes)` as the server received them. */
  upload?(bytes: Uint8Array): Promise<number>;
  /** Has the server send `servedBytes(length)` as one message; resolves with `mark(bytes)` as received here. */
  download?(length: number): Promise<number>;
  /**
   * Reads a stream, with `n` from 0 on. Calls `received` for each item, or with the bytes of blocks in pieces of any size.
   * Resolves to a function that ends it.
   */
  stream?(kind: StreamKind, received: (item: News | Uint8Array) => void): Promise<() => Promise<void>>;
  /** Sends binary items of 64 KiB to the server without an end. */
  streamUp?(): Promise<() => Promise<void>>;
  /** Opens a stream with one item, which is 1, and reads it to its end; resolves with the item. */
  openStream?(): Promise<number>;
  /** Opens a stream whose items of 64 KiB are made for it, takes one, and leaves the stream open. */
  stallStream?(): Promise<void>;
  /** Sends the file at `path`, under one name; resolves with its hash, as the server has it on its disk. */
  sendFile?(path: string): Promise<FileHash>;
  /** Fetches the file that was sent to `path`; resolves with its hash when it is there. */
  fetchFile?(path: string): Promise<FileHash>;
  /** Ends the connection; resolves once this end has closed. */
  close(): Promise<void>;
}

/** A library or protocol under test. */
export interface Peer {
  /** Name of its file, and in `--peers`. */
  readonly name: string;
  /** For tables: `ws + JSON`. */
  readonly title: string;
  /** For the README: how the bench uses it, in one or two sentences. */
  readonly usage: string;
  /** Address of the documentation that it follows. */
  readonly documentation: string;
  /** Runtimes its server and its client run on. */
  readonly runtimes: { readonly server: readonly RuntimeName[]; readonly client: readonly RuntimeName[] };
  /** Runtimes on which it is measured by default, without `--peers`. Default: all it runs on. */
  readonly usual?: readonly RuntimeName[];
  /** Scenarios that it takes part in. Default: all. */
  readonly scenarios?: readonly string[];
  /** Whether server and client may run on different runtimes. */
  readonly mixed: boolean;
  /** Features that it lacks, or that can't be measured, with the reason to print. */
  readonly lacks: Readonly<Partial<Record<Feature, string>>>;
  /** Most connections it is measured with, and why. Default: 10,000. */
  readonly maxConnections?: { readonly count: number; readonly reason: string };
  /** Null if it can run on this machine, else the reason: `nats-server is not installed`. */
  missing(): Promise<string | null>;
  /** Version of the library, for the report. */
  version(): Promise<string>;
  startServer(options: ServerOptions): Promise<BenchServer>;
  connect(target: Target, options: ClientOptions): Promise<BenchClient>;
  /**
   * For a peer in another language: the program for each side, and its arguments. It implements the commands of
   * `commands.ts` instead of `process.ts`, and `startServer` and `connect` aren't called.
   */
  program?(side: Side): Promise<readonly [program: string, ...args: string[]]>;
}
