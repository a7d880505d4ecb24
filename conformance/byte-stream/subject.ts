import type { ByteStream } from "@netconduit/core/adapter";

/** Both ends of one connection, not opened yet. */
export interface StreamPair {
  readonly a: ByteStream;
  readonly b: ByteStream;
  /** Frees other resources of the pair, after the suite has destroyed both ends. */
  dispose(): Promise<void> | void;
}

/** Permitted differences between transports. */
export interface ByteStreamCapabilities {
  /** `write` returns false at or below this number of queued bytes. */
  readonly highWaterMark: number;
  /** `destroy(error)` reaches the peer as CONNECTION_RESET; otherwise the peer may see a normal end. */
  readonly destroyResets: boolean;
  /** Maximum number of bytes that the operating system buffers per direction, in addition to `queuedBytes`. */
  readonly kernelBytes: number;
  /** Size of the large transfer in each direction. Default 24 MiB. */
  readonly transferBytes?: number;
}

/** Creates pairs and describes their capabilities. */
export interface ByteStreamSubject {
  makePair(): Promise<StreamPair>;
  readonly capabilities: ByteStreamCapabilities;
}
