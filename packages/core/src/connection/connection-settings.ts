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
  /** Names the keys of `$once` that a server knows; null if it can't say. Absent on a client. */
  readonly onceKeys?: (() => string | null) | undefined;
  /** Sessions outlive their streams; null or absent if they don't. */
  readonly resume?: ResumeSettings | null | undefined;
  /** Whether an expiring identity can be renewed: tokens are sent, or taken. Default false. */
  readonly renewsCredentials?: boolean | undefined;
  /** Null or absent for no limit. A single unlimited rate may be Infinity. */
  readonly rateLimit?:
    | { readonly messagesPerSecond?: number | undefined; readonly bytesPerSecond?: number | undefined }
    | null
    | undefined;
}

/** How sessions are resumed. */
export interface ResumeSettings {
  /** How long a session waits for its client. A client has what its server says. */
  readonly windowMs: number;
  /** Bytes that were sent and aren't acknowledged; beyond that, senders wait. */
  readonly maxBytes: number;
}
