/**
 * Bytes that a runtime's socket has not taken yet: first in, first out, taken in parts. For runtimes whose sockets take
 * what they can and leave the rest to the caller (Bun), or take one write at a time (Deno).
 */
export class WriteQueue {
  readonly #highWaterMark: number;
  #chunks: Uint8Array[] = [];
  #head = 0;
  /** Bytes of the first chunk that were taken already. */
  #offset = 0;
  #bytes = 0;

  /** @param highWaterMark bytes from which on {@link isFull} is true */
  constructor(highWaterMark: number) {
    this.#highWaterMark = highWaterMark;
  }

  /** Bytes waiting. */
  get queuedBytes(): number {
    return this.#bytes;
  }

  get isEmpty(): boolean {
    return this.#bytes === 0;
  }

  /** Whether whoever writes should wait until the queue has drained. */
  get isFull(): boolean {
    return this.#bytes >= this.#highWaterMark;
  }

  /** Appends bytes, which nobody may mutate afterwards. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#chunks.push(bytes);
    this.#bytes += bytes.length;
  }

  /** The next bytes to write, at most to the end of one chunk; null when nothing waits. They stay until `consume`. */
  peek(): Uint8Array | null {
    const chunk = this.#chunks[this.#head];
    if (chunk === undefined) return null;
    return this.#offset === 0 ? chunk : chunk.subarray(this.#offset);
  }

  /** Removes the first `count` bytes: the socket has taken them. */
  consume(count: number): void {
    let left = Math.min(count, this.#bytes);
    this.#bytes -= left;
    while (left > 0) {
      const chunk = this.#chunks[this.#head] as Uint8Array;
      const rest = chunk.length - this.#offset;
      if (left < rest) {
        this.#offset += left;
        return;
      }
      left -= rest;
      this.#offset = 0;
      this.#head += 1;
    }
    if (this.#head === this.#chunks.length) {
      this.#chunks = [];
      this.#head = 0;
    } else if (this.#head >= 64) {
      this.#chunks = this.#chunks.slice(this.#head);
      this.#head = 0;
    }
  }

  /** Forgets everything. */
  clear(): void {
    this.#chunks = [];
    this.#head = 0;
    this.#offset = 0;
    this.#bytes = 0;
  }
}
