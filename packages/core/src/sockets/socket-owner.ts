/**
 * Hears what happens to a socket: at first whoever makes it ready (an attempt to connect, a TLS handshake), then its
 * stream. The same listeners can so serve all sockets of a runtime, which keep nothing but their present owner.
 */
export interface SocketOwner {
  /**
   * The socket is connected; with TLS, its handshake has succeeded.
   * @param refusal what is wrong with a certificate that the runtime let pass
   */
  ready?(refusal?: unknown): void;
  received?(chunk: Uint8Array): void;
  /** The system takes bytes again. May come unasked. */
  drained?(): void;
  /** The peer sent FIN, or with TLS its close notification. */
  ended?(): void;
  /** The connection broke. */
  failed?(cause: unknown, facts?: FailureFacts): void;
  /** The socket is gone. */
  gone?(cause?: unknown): void;
}

/** What a runtime knows of the failure of a client's TLS handshake besides its error. */
export interface FailureFacts {
  /** The server has sent something. */
  readonly answered?: boolean;
  /** What to take for the error's `codeOf`. */
  readonly name?: string;
}
