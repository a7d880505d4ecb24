/** Options of a connection; a server's and a client's configuration both fit. */
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
  readonly enableBackpressure: boolean;
  /** Null or absent: no limit. A rate that is not limited may be Infinity. */
  readonly rateLimit?:
    | { readonly messagesPerSecond?: number | undefined; readonly bytesPerSecond?: number | undefined }
    | null
    | undefined;
}

/** What went wrong on one connection, in numbers. */
export interface ConnectionFaults {
  /** Frames that could not be used. */
  errors: number;
  /** Broadcasts not delivered because the peer read too slowly. */
  dropped: number;
  /** Messages and requests refused by the rate limit. */
  rateLimited: number;
}
