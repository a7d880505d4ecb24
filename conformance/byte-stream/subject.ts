import type { ByteStream } from "@netconduit/core/adapter";

/** Two ends of one connection, neither opened yet. */
export interface StreamPair {
  readonly a: ByteStream;
  readonly b: ByteStream;
  /** Frees other resources of the pair. The suite has destroyed both ends by then. */
  dispose(): Promise<void> | void;
}

/** Permitted differences between transports. */
export interface ByteStreamCapabilities {
  /** Queued bytes from which on `write` returns false, at the latest. */
  readonly highWaterMark: number;
  /** `destroy(error)` reaches the peer as CONNECTION_RESET; elsewhere the peer may see a plain end. */
  readonly destroyResets: boolean;
  /** Bytes the operating system may hold per direction, beyond `queuedBytes`. 0: none. */
  readonly kernelBytes: number;
  /** Bytes of the large transfer, each way. Default 24 MiB. */
  readonly transferBytes?: number;
}

/** Makes pairs, and says what to expect of them. */
export interface ByteStreamSubject {
  makePair(): Promise<StreamPair>;
  readonly capabilities: ByteStreamCapabilities;
}
