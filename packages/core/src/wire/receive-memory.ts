/** Where the memory of large frames and values that arrive comes from, and goes when nothing refers to it any more. */
export interface ReceiveMemory {
  /** At least `bytes` bytes, any content. */
  allocate(bytes: number): Uint8Array;
  /** Takes back what `allocate` gave. */
  release(memory: Uint8Array): void;
}

/** Zeroed memory, left to the garbage collector. */
export const FRESH_MEMORY: ReceiveMemory = {
  allocate: (bytes) => new Uint8Array(bytes),
  release: () => undefined,
};
