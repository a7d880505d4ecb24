import { Fifo } from "../util/fifo.ts";

/**
 * A FIFO of bytes that a runtime's socket hasn't accepted yet, for runtimes whose sockets accept writes in part (Bun)
 * or one at a time (Deno).
 */
export class WriteQueue {
  readonly #highWaterMark: number;
  readonly #chunks: Fifo<Uint8Array> = new Fifo();
  /** Bytes of the first chunk that were already written. */
  #offset = 0;
  #bytes = 0;

  /** @param highWaterMark bytes from which {@link isFull} is true */
  constructor(highWaterMark: number) {
    this.#highWaterMark = highWaterMark;
  }

  /** Number of queued bytes. */
  get queuedBytes(): number {
    return this.#bytes;
  }

  get isEmpty(): boolean {
    return this.#bytes === 0;
  }

  /** Whether the writer should wait until the queue has drained. */
  get isFull(): boolean {
    return this.#bytes >= this.#highWaterMark;
  }

  /** Appends bytes, which must not change afterwards. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#chunks.push(bytes);
    this.#bytes += bytes.length;
  }

  /** Returns the next bytes to write, up to the end of a chunk, without removing them; null if the queue is empty. */
  peek(): Uint8Array | null {
    const chunk = this.#chunks.peek();
    if (chunk === undefined) return null;
    return this.#offset === 0 ? chunk : chunk.subarray(this.#offset);
  }

  /** Removes the first `count` bytes after the socket accepted them. */
  consume(count: number): void {
    let left = Math.min(count, this.#bytes);
    this.#bytes -= left;
    while (left > 0) {
      const rest = (this.#chunks.peek() as Uint8Array).length - this.#offset;
      if (left < rest) {
        this.#offset += left;
        return;
      }
      left -= rest;
      this.#offset = 0;
      this.#chunks.shift();
    }
  }

  /** Discards everything. */
  clear(): void {
    this.#chunks.clear();
    this.#offset = 0;
    this.#bytes = 0;
  }
}
