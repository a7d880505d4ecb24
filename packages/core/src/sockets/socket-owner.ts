/**
 * Is told of a socket's events: first an attempt to connect or a TLS handshake, then the stream. A runtime's listeners
 * serve all of its sockets, and pass each event on to the socket's present owner.
 */
export interface SocketOwner {
  /**
   * The socket is connected; with TLS, its handshake has succeeded.
   * @param refusal what is wrong with a certificate that the runtime let pass
   */
  ready?(refusal?: unknown): void;
  received?(chunk: Uint8Array): void;
  /** Where to read the next bytes to, on runtimes that ask; null: anywhere. `bytesRead` or `received` follows. */
  readTarget?(): Uint8Array | null;
  bytesRead?(count: number): void;
  /** The socket takes bytes again. May come unasked. */
  drained?(): void;
  /** The peer sent FIN, or with TLS its close notification. */
  ended?(): void;
  /** The connection broke. */
  failed?(cause: unknown, facts?: FailureFacts): void;
  /** The socket is closed. */
  gone?(cause?: unknown): void;
}

/** What a runtime knows of the failure of a client's TLS handshake besides its error. */
export interface FailureFacts {
  /** The server has sent something. */
  readonly answered?: boolean;
  /** What to take for the error's `codeOf`. */
  readonly name?: string;
}
