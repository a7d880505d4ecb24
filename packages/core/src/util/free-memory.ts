/**
 * Frees the memory of a buffer that nothing refers to, by moving it to an empty one. Memory that waits for the garbage
 * collector makes it run, which stops the process for milliseconds.
 */
export function freeMemory(buffer: ArrayBufferLike): void {
  // ES2024: all supported runtimes have it, the compiler's library doesn't.
  (buffer as ArrayBuffer & { transfer(bytes: number): ArrayBuffer }).transfer(0);
}
