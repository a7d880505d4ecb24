import type { ByteStream } from "./bytes/byte-stream.ts";
import type { ConduitError } from "./errors.ts";
import type { Clock } from "./util/clock.ts";
import type { FileAccess } from "./util/file-access.ts";

/** TLS material: PEM text, or a path that the adapter reads. PEM is recognized by `-----BEGIN`. */
export interface TlsServerOptions {
  /** Certificate chain: PEM text or path. */
  readonly cert: string;
  /** Private key: PEM text or path. */
  readonly key: string;
  /** CA that signs client certificates: PEM text or path. Default: none. */
  readonly ca?: string | undefined;
  /** Reject clients without a certificate signed by `ca`. Default false. Requires `ca`. */
  readonly requireClientCertificate?: boolean | undefined;
}

/** TLS options of a client. `tls: true` means all defaults. */
export interface TlsClientOptions {
  /** CA that signed the server's certificate: PEM text or path. Default: the runtime's trusted CAs. */
  readonly ca?: string | undefined;
  /** Client certificate chain: PEM text or path. Default: none. Requires `key`. */
  readonly cert?: string | undefined;
  /** Private key of the client certificate: PEM text or path. */
  readonly key?: string | undefined;
  /** Name that the server's certificate must match. Default: the host. */
  readonly serverName?: string | undefined;
}

/** Target of a connection. */
export interface ConnectTarget {
  /** Unix socket path; when given, host and port are ignored. */
  readonly path?: string | undefined;
  readonly host: string;
  readonly port: number;
  /** Address family: 4 for IPv4 only, 6 for IPv6 only, 0 for whichever connects first. */
  readonly family: 0 | 4 | 6;
  readonly tls: TlsClientOptions | null;
  /** Bytes read from the socket at a time, and its write high-water mark. */
  readonly bufferSize: number;
}

/** Aborts a dial. An `AbortSignal` is one. */
export interface DialSignal {
  readonly aborted: boolean;
  /** Why it was aborted; undefined before. */
  readonly reason: unknown;
  addEventListener(type: "abort", listener: () => void): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

/** Address to listen on. */
export interface ListenTarget {
  /** Unix socket path; when given, host and port are ignored. A stale socket file is replaced. */
  readonly path?: string | undefined;
  readonly host: string;
  /** 0 lets the system pick one; see {@link Listener.address}. */
  readonly port: number;
  /** If true, `host` is an IPv6 address or a name; `::` also accepts IPv4 clients (dual stack). */
  readonly ipv6: boolean;
  readonly tls: TlsServerOptions | null;
  /** Bytes read from a socket at a time, and its write high-water mark. */
  readonly bufferSize: number;
  /**
   * Concurrent TLS handshakes. For a further one, the oldest of the address that has most is dropped and reported.
   * Default: no limit.
   */
  readonly maxPendingHandshakes?: number | undefined;
}

/** A socket that accepts connections. */
export interface Listener {
  /** The bound address, with the actual port. */
  readonly address: { readonly host: string; readonly port: number; readonly path?: string | undefined };
  /**
   * Stops accepting. Accepted streams stay open. Resolves when the port is free (Unix sockets: when the file is
   * removed).
   */
  close(): Promise<void>;
  /** How many connections the process has file descriptors for; undefined if unknown. */
  readonly maxSockets?: number | undefined;
  /** Whether it keeps the process running. It does at first. Optional: without them, it always does. */
  ref?(): void;
  unref?(): void;
  /**
   * Replaces the certificate of new connections. Optional.
   * @throws ConduitError INVALID_CONFIG if the material is unusable (the former stays), or if the runtime can't do it
   */
  setTls?(tls: TlsServerOptions): Promise<void>;
}

/** Callbacks of a listener. Must not throw. */
export interface ListenEvents {
  /** A connection was accepted and its TLS handshake, if any, is complete. */
  accepted(stream: ByteStream): void;
  /** A connection failed before it was ready (in its TLS handshake), or accepting failed. */
  failed(error: ConduitError): void;
  /** The system has no file descriptor, or no memory, for one more connection. Default: `failed`. */
  exhausted?(error: ConduitError): void;
}

/**
 * The cryptographic primitives that logins need. Digests are made at once, so that a password is judged before another login
 * is looked at.
 */
export interface RuntimeCrypto {
  /** Bytes that nobody can predict. */
  randomBytes(count: number): Uint8Array;
  /** 32 bytes. */
  sha256(data: Uint8Array): Uint8Array;
  /** 32 bytes. */
  hmacSha256(key: Uint8Array, data: Uint8Array): Uint8Array;
  /** PBKDF2-HMAC-SHA-256, 32 bytes. Runs off the main thread where the runtime can. */
  pbkdf2Sha256(password: Uint8Array, salt: Uint8Array, iterations: number): Promise<Uint8Array>;
}

/** Everything the core needs from a runtime. Each runtime package exports one. */
export interface Runtime extends Clock {
  /** `"node"`, `"bun"`, `"deno"`, or a custom name. */
  readonly name: string;
  /** Wall clock in Unix milliseconds, an integer. */
  wallClock(): number;
  /**
   * Runs `task` at the end of the current turn of the event loop: after all microtasks queued so far, before more I/O.
   * The core uses it to combine a turn's frames into few writes.
   */
  defer(task: () => void): void;
  /**
   * Calls `task(a, b)` in the async context (`AsyncLocalStorage`) in which the runtime package was loaded. The context
   * of the caller is as before when it returns, even if `task` used `enterWith`.
   */
  inOwnContext<A, B>(task: (a: A, b: B) => void, a: A, b: B): void;
  /**
   * Runs `task` in a later turn of the event loop, after the pending I/O of all sockets (`setImmediate`). The core uses
   * it to share the loop between connections.
   */
  nextTurn(task: () => void): void;
  /** Whether the runtime package bounds how long sockets are read in one turn of the event loop. Default: false. */
  readonly boundsReads?: boolean | undefined;
  readonly crypto: RuntimeCrypto;
  /** Files of this computer. Default: none, and then files can't be transferred. */
  readonly files?: FileAccess | undefined;
  /** Memory with arbitrary content, which the caller overwrites. */
  allocate(bytes: number): Uint8Array;
  /** `bytes[start, end)` without a copy, as the kind of array that the runtime's sockets write without converting it. */
  view(bytes: Uint8Array, start: number, end: number): Uint8Array;
  /** Compresses to a zlib stream (RFC 1950), level 6. */
  deflate(bytes: Uint8Array): Uint8Array;
  /**
   * Inflates a zlib stream. Never allocates more than `maxBytes` plus one block for output.
   * @throws ConduitError INFLATED_TOO_LARGE if the output exceeds `maxBytes`, INFLATE_FAILED if the input is invalid.
   */
  inflate(bytes: Uint8Array, maxBytes: number): Uint8Array;
  /**
   * All addresses of a name in one family, best first. Rejects or returns an empty list if there are none. Pools call it:
   * a name with several addresses is a server at each.
   */
  lookup(name: string, family: 4 | 6): Promise<readonly string[]>;
  /**
   * Connects, including the TLS handshake.
   *
   * @throws ConduitError with a specific code; the cause is the runtime's own error.
   */
  connect(target: ConnectTarget, signal: DialSignal): Promise<ByteStream>;
  /** @throws ConduitError ADDRESS_IN_USE, ADDRESS_UNAVAILABLE, TLS_ERROR, INVALID_CONFIG. */
  listen(target: ListenTarget, events: ListenEvents): Promise<Listener>;
  /** Reports an application error when there is no `onError` hook. Node: `process.emitWarning`. */
  warn(error: Error): void;
  /** Calls `task` on SIGINT or SIGTERM. Returns a function that removes the listener. */
  onTerminate(task: (signal: string) => void): () => void;
}
