/**
 * Receives a socket's events: first a connection attempt or TLS handshake, then the stream. A runtime's listeners are
 * shared by all of its sockets, and forward each event to the socket's current owner.
 */
export interface SocketOwner {
  /**
   * The socket is connected; with TLS, its handshake succeeded.
   * @param refusal the problem with a certificate that the runtime accepted nevertheless
   */
  ready?(refusal?: unknown): void;
  received?(chunk: Uint8Array): void;
  /**
   * Returns memory for the next bytes, on runtimes that support that; null for any memory. `bytesRead` or `received`
   * follows.
   */
  readTarget?(): Uint8Array | null;
  bytesRead?(count: number): void;
  /** The socket accepts bytes again. May be called without need. */
  drained?(): void;
  /** The peer sent FIN or, with TLS, a close notification. */
  ended?(): void;
  /** The connection failed. */
  failed?(cause: unknown, facts?: FailureFacts): void;
  /** The socket is closed. */
  closed?(cause?: unknown): void;
}

/** Facts about the failure of a client's TLS handshake, in addition to the error. */
export interface FailureFacts {
  /** Whether the server has sent any data. */
  readonly answered?: boolean;
  /** Replaces the error's `codeOf`. */
  readonly name?: string;
}
