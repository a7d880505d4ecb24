import type { ByteStream } from "./bytes/byte-stream.ts";
import type { Clock } from "./util/clock.ts";

/** TLS material: PEM text, or a path that the adapter reads. PEM is recognised by `-----BEGIN`. */
export interface TlsServerOptions {
  /** Certificate chain: PEM text or path. */
  readonly cert: string;
  /** Private key: PEM text or path. */
  readonly key: string;
  /** CA that signs client certificates: PEM text or path. Default: none. */
  readonly ca?: string | undefined;
  /** Refuse clients without a certificate signed by `ca`. Default false. Needs `ca`. */
  readonly requireClientCertificate?: boolean | undefined;
}

/** TLS options of a client. `tls: true` means all defaults. */
export interface TlsClientOptions {
  /** CA the server's certificate must be signed by: PEM text or path. Default: the runtime's trusted roots. */
  readonly ca?: string | undefined;
  /** Client certificate chain: PEM text or path. Default: none. Needs `key`. */
  readonly cert?: string | undefined;
  /** Private key of the client certificate: PEM text or path. */
  readonly key?: string | undefined;
  /** Name the server's certificate must be valid for. Default: the host connected to. */
  readonly serverName?: string | undefined;
}

/** What to connect to. */
export interface ConnectTarget {
  /** Unix socket path; when given, host and port are ignored. */
  readonly path?: string | undefined;
  readonly host: string;
  readonly port: number;
  /** Resolve the host to: 4 IPv4 only, 6 IPv6 only, 0 whatever connects first. */
  readonly family: 0 | 4 | 6;
  readonly tls: TlsClientOptions | null;
  /** Bytes read from the socket at a time, and its write high-water mark. */
  readonly bufferSize: number;
}

/** What calls a dial off: an `AbortSignal`, or less, which costs less. */
export interface DialSignal {
  readonly aborted: boolean;
  /** Why; undefined while it is not aborted. */
  readonly reason: unknown;
  addEventListener(type: "abort", listener: () => void): void;
  removeEventListener(type: "abort", listener: () => void): void;
}

/** Where to listen. */
export interface ListenTarget {
  /** Unix socket path; when given, host and port are ignored. A stale socket file is replaced. */
  readonly path?: string | undefined;
  readonly host: string;
  /** 0: the system picks one; see {@link Listener.port}. */
  readonly port: number;
  /** True: `host` is an IPv6 address or name; `::` listens dual-stack (IPv4 clients included). */
  readonly ipv6: boolean;
  readonly tls: TlsServerOptions | null;
  /** Bytes read from a socket at a time, and its write high-water mark. */
  readonly bufferSize: number;
  /** TLS handshakes under way at the same time; one more is dropped and reported. Default: no limit. */
  readonly maxPendingHandshakes?: number | undefined;
}

/** A socket that accepts connections. */
export interface Listener {
  /** The real address; the port is the one bound even if 0 was asked. */
  readonly address: { readonly host: string; readonly port: number; readonly path?: string | undefined };
  /** Stops accepting. Accepted streams live on. Resolves when the port is free (Unix: the file is gone). */
  close(): Promise<void>;
}

/** What a listener tells its server. Must not throw. */
export interface ListenEvents {
  /** A connection is ready: accepted, and its TLS handshake done. */
  accepted(stream: ByteStream): void;
  /** A connection failed before it was ready (TLS handshake), or accepting itself failed. */
  failed(error: Error): void;
}

/**
 * The cryptographic primitives SCRAM needs. A runtime may answer at once or by a promise. What it is given is memory that
 * is used again: if it answers by a promise, it copies key and data before it returns, and leaves `into` alone.
 */
export interface RuntimeCrypto {
  /** @param into `count` bytes, where they may be written to. Default: new memory. */
  randomBytes(count: number, into?: Uint8Array): Uint8Array;
  /** @param into 32 bytes, where the digest may be written to. Default: new memory. */
  sha256(data: Uint8Array, into?: Uint8Array): Uint8Array | Promise<Uint8Array>;
  /** @param into as for `sha256`. */
  hmacSha256(key: Uint8Array, data: Uint8Array, into?: Uint8Array): Uint8Array | Promise<Uint8Array>;
  /** PBKDF2-HMAC-SHA-256, 32 bytes. Runs off the main thread where the runtime can. Needs no copies. */
  pbkdf2Sha256(password: Uint8Array, salt: Uint8Array, iterations: number): Promise<Uint8Array>;
}

/** Everything the core needs of a runtime. Each adapter package exports one. */
export interface Runtime extends Clock {
  /** `"node"`, `"bun"`, `"deno"`, or a name of one's own. */
  readonly name: string;
  /** Wall clock, Unix milliseconds, integer. */
  wallClock(): number;
  /**
   * Runs `task` once the current turn of the event loop has settled: after every microtask that is queued now,
   * before more I/O. The core gathers a turn's frames into few writes with it.
   */
  defer(task: () => void): void;
  readonly crypto: RuntimeCrypto;
  /** Memory with any content: whoever asks for it overwrites all of it. */
  allocate(bytes: number): Uint8Array;
  /** `bytes[start, end)`, which must not be copied, as an array that a socket takes as it is. */
  view(bytes: Uint8Array, start: number, end: number): Uint8Array;
  /** zlib stream (RFC 1950), level 6. */
  deflate(bytes: Uint8Array): Uint8Array;
  /**
   * Inflates a zlib stream. Never allocates more than `maxBytes` plus one block for output.
   * @throws ConduitError INFLATED_TOO_LARGE when more would come out, INFLATE_FAILED when it is not a zlib stream.
   */
  inflate(bytes: Uint8Array, maxBytes: number): Uint8Array;
  /** @throws ConduitError with the code that says what failed; the cause is the runtime's own error. */
  connect(target: ConnectTarget, signal: DialSignal): Promise<ByteStream>;
  /** @throws ConduitError ADDRESS_IN_USE, ADDRESS_UNAVAILABLE, TLS_ERROR, INVALID_CONFIG. */
  listen(target: ListenTarget, events: ListenEvents): Promise<Listener>;
  /** Shows an error of the application's own code that no `onError` hook took. Node: `process.emitWarning`. */
  warn(error: Error): void;
  /** Calls `task` on SIGINT or SIGTERM. Returns a function that removes it. */
  onTerminate(task: (signal: string) => void): () => void;
}
