import type { ByteStream } from "@netconduit/core/adapter";

/** Two ends of one connection, neither opened yet. */
export interface StreamPair {
  readonly a: ByteStream;
  readonly b: ByteStream;
  /** Frees what the pair is made of. The suite has destroyed both ends by then. */
  dispose(): Promise<void> | void;
}

/** How transports rightly differ. */
export interface ByteStreamCapabilities {
  /** `write` returns false from so many queued bytes on, at the latest. */
  readonly highWaterMark: number;
  /** `destroy(error)` reaches the peer as CONNECTION_RESET; elsewhere the peer may see a plain end. */
  readonly destroyResets: boolean;
  /** Bytes the operating system may hold per direction, beyond `queuedBytes`. 0: none. */
  readonly kernelBytes: number;
  /** Bytes of the large transfer, each way. Default 64 MiB. */
  readonly transferBytes?: number;
}

/** How to make pairs, and what to expect of them. */
export interface ByteStreamSubject {
  makePair(): Promise<StreamPair>;
  readonly capabilities: ByteStreamCapabilities;
}
