/** Allocates and reclaims memory for large incoming frames and values. */
export interface ReceiveMemory {
  /** Returns at least `bytes` bytes with arbitrary content. */
  allocate(bytes: number): Uint8Array;
  /** Takes back memory from `allocate` that nothing refers to. */
  release(memory: Uint8Array): void;
}

/** Allocates zeroed memory and leaves it to the garbage collector. */
export const FRESH_MEMORY: ReceiveMemory = {
  allocate: (bytes) => new Uint8Array(bytes),
  release: () => undefined,
};
