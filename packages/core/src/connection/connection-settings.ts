/** Options of a connection; both a server's and a client's configuration have them. */
export interface ConnectionSettings {
  readonly maxMessageBytes: number;
  readonly sendQueueSize: number;
  readonly sendQueueBytes: number;
  readonly receiveQueueSize: number;
  readonly receiveQueueBytes: number;
  readonly handlerConcurrency: number;
  readonly heartbeatIntervalMs: number;
  readonly heartbeatTimeoutMs: number;
  readonly closeTimeoutMs: number;
  readonly rpcTimeoutMs: number;
  readonly maxStreams: number;
  readonly maxStreamBytes: number;
  readonly enableBackpressure: boolean;
  readonly enableCompression: boolean;
  /** Topics that a connection may be subscribed to; absent on a client. */
  readonly maxSubscriptions?: number | undefined;
  /** Null or absent for no limit. A single unlimited rate may be Infinity. */
  readonly rateLimit?:
    | { readonly messagesPerSecond?: number | undefined; readonly bytesPerSecond?: number | undefined }
    | null
    | undefined;
}

/** Counters of failures on one connection. */
export interface ConnectionFaults {
  /** Number of invalid frames. */
  errors: number;
  /** Broadcasts dropped because the peer read too slowly. */
  dropped: number;
  /** Messages and requests over the rate limit. */
  rateLimited: number;
}
