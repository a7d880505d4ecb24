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
  /** Maximum number of topics per connection; absent on a client. */
  readonly maxSubscriptions?: number | undefined;
  /** Returns the id of the server's set of `$once` keys; null if unknown. Absent on a client. */
  readonly onceKeys?: (() => string | null) | undefined;
  /** Sessions outlive their streams; null or absent if they don't. */
  readonly resume?: ResumeSettings | null | undefined;
  /** Whether an expiring identity can be renewed by a new token. Default false. */
  readonly renewsCredentials?: boolean | undefined;
  /** Null or absent for no limit. A single unlimited rate may be Infinity. */
  readonly rateLimit?:
    | { readonly messagesPerSecond?: number | undefined; readonly bytesPerSecond?: number | undefined }
    | null
    | undefined;
}

/** Settings for resuming sessions. */
export interface ResumeSettings {
  /** How long a session waits for its client. A client uses its server's value. */
  readonly windowMs: number;
  /** Limit of unacknowledged bytes, beyond which senders wait. */
  readonly maxBytes: number;
}
