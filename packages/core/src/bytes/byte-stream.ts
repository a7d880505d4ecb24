/** The contract between the core and a runtime: an ordered, reliable stream of bytes with back-pressure. */

/** Address of one end of a stream. */
export type Address =
  | { readonly kind: "tcp"; readonly host: string; readonly port: number; readonly family: "IPv4" | "IPv6" }
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "memory"; readonly name: string };

/** Facts about the TLS session under a stream. */
export interface TlsInfo {
  /** Negotiated protocol, for example `"TLSv1.3"`, or null if the runtime doesn't report it. */
  readonly protocol: string | null;
  /** Whether the peer's certificate was verified against the CA. False if it presented none. */
  readonly peerVerified: boolean;
  /** Subject common name of the peer's certificate, or null if it presented none or the runtime doesn't report it. */
  readonly peerName: string | null;
}

/** Receives data and events from a {@link ByteStream}. Must not throw. */
export interface ByteSink {
  /**
   * Returns memory for the next bytes. Streams that can read into given memory call this before a read, fill it from
   * its start, possibly in part, and then call `bytesRead`. Null means that the stream chooses the memory and calls
   * `data`.
   */
  readTarget?(): Uint8Array | null;
  /** `count` bytes were read into the memory from `readTarget`. */
  bytesRead?(count: number): void;
  /** Bytes arrived. The sink may use `chunk` until this returns; the stream may then overwrite it. */
  data(chunk: Uint8Array): void;
  /** Called after `write` returned false, when the stream accepts bytes again. */
  drained(): void;
  /** The stream has ended in both directions. Called exactly once, as the last call. Null means a clean close. */
  closed(error: Error | null): void;
}

/** An open connection. If it uses TLS, the handshake is complete. */
export interface ByteStream {
  /** Captured at open, valid after close. */
  readonly local: Address;
  /** Captured at open, valid after close. */
  readonly remote: Address;
  /** Null for plaintext. */
  readonly tls: TlsInfo | null;
  /**
   * Bytes accepted by `write` that the operating system hasn't accepted yet. At 0, the stream holds no reference to
   * written bytes, and the writer may reuse their memory.
   */
  readonly queuedBytes: number;
  /** Starts delivery. Must be called once; nothing is delivered before. */
  open(sink: ByteSink): void;
  /**
   * Writes in order. `bytes` must not change while any of them are queued, because a broadcast passes one buffer to
   * many streams. Doesn't call the sink synchronously.
   * @returns false if the bytes were accepted but the caller should wait for `drained()`. After close or destroy, the
   *   bytes are ignored and the result is false.
   */
  write(bytes: Uint8Array): boolean;
  /** Stops delivery of data. A chunk in transit may still be delivered. */
  pause(): void;
  /** Resumes delivery of data. */
  resume(): void;
  /**
   * Flushes written bytes, sends FIN, and resolves when the stream has closed in both directions. Incoming data is
   * still delivered until the peer closes too; the caller limits that wait with `destroy`.
   */
  close(): Promise<void>;
  /** Discards both directions immediately. Idempotent, never throws. `closed(reason)` follows asynchronously. */
  destroy(reason: Error | null): void;
  /** Makes the stream keep the process running, which is the default. Optional. */
  ref?(): void;
  unref?(): void;
}
