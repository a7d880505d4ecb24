/**
 * The contract between the core and a runtime: an ordered, reliable stream of bytes with back-pressure.
 */

/** Where a stream ends. */
export type Address =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number; readonly family: "IPv4" | "IPv6" }
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "memory"; readonly name: string };

/** Facts about the TLS session under a stream. */
export interface TlsInfo {
  /** Negotiated protocol, for example `"TLSv1.3"`, or null if the runtime does not tell. */
  readonly protocol: string | null;
  /** Whether the peer's certificate was verified against the CA. False when it presented none. */
  readonly peerVerified: boolean;
  /** Subject common name of the peer's certificate, or null if none was presented or the runtime can't tell. */
  readonly peerName: string | null;
}

/** Receives what a {@link ByteStream} delivers. Called by the stream; must not throw. */
export interface ByteSink {
  /**
   * Where the next bytes should land, for a stream that reads into memory of the caller's choice: it asks before it
   * reads, may fill it in part, from its beginning, and says so by `bytesRead`. Null: anywhere, to be given to `data`.
   */
  readTarget?(): Uint8Array | null;
  /** `count` bytes are where `readTarget` said. */
  bytesRead?(count: number): void;
  /** Bytes arrived. `chunk` is the sink's until this returns; then the stream may read the next bytes into it. */
  data(chunk: Uint8Array): void;
  /** After `write` returned false: the stream takes bytes again. */
  drained(): void;
  /** The stream is over, in both directions. Exactly once, and the last call. Null: closed cleanly. */
  closed(error: Error | null): void;
}

/** An open, authenticated-by-nobody connection: bytes in, bytes out. TLS, where used, is already established. */
export interface ByteStream {
  /** Captured at open, valid after close. */
  readonly local: Address;
  /** Captured at open, valid after close. */
  readonly remote: Address;
  /** Null: plaintext. */
  readonly tls: TlsInfo | null;
  /**
   * Bytes taken by `write` that the operating system has not taken yet. 0: the stream no longer refers to anything that
   * was written, and the writer may use that memory again.
   */
  readonly queuedBytes: number;
  /** Starts delivery. Called once; nothing is delivered earlier. */
  open(sink: ByteSink): void;
  /**
   * Writes in order. Nobody mutates `bytes` while any are queued (one broadcast buffer is handed to many streams). The
   * sink is not called from within.
   * @returns false: taken, but stop until `drained()`. After close or destroy: ignored, returns false.
   */
  write(bytes: Uint8Array): boolean;
  /** Stops delivery of data. A chunk already on its way may still be delivered. */
  pause(): void;
  /** Resumes delivery of data. */
  resume(): void;
  /**
   * Flushes what was written, sends FIN, and resolves once the stream is closed in both directions.
   * Incoming data is still delivered until the peer closes too; the caller bounds that with `destroy`.
   */
  close(): Promise<void>;
  /** Discards both directions now. Idempotent, never throws. `closed(reason)` follows, asynchronously. */
  destroy(reason: Error | null): void;
}
