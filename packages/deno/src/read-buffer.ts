/** Buffer size of an idle connection. */
const MIN_BYTES = 4096;

/**
 * A buffer for reads. It grows when reads fill it and shrinks when they stay small, so that an idle connection holds
 * only a few KiB.
 */
export class ReadBuffer {
  readonly #maxBytes: number;
  readonly #minBytes: number;
  #size: number;
  #block: Uint8Array<ArrayBuffer>;

  /** @param maxBytes maximum bytes per read */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#minBytes = Math.min(MIN_BYTES, maxBytes);
    this.#size = this.#minBytes;
    this.#block = new Uint8Array(this.#size);
  }

  /** Returns the memory for the next read. */
  room(): Uint8Array<ArrayBuffer> {
    if (this.#block.length !== this.#size) this.#block = new Uint8Array(this.#size);
    return this.#block;
  }

  /** Returns the `count` bytes of a read, valid until the next read begins. */
  take(count: number): Uint8Array {
    const block = this.#block;
    if (count === block.length) this.#size = Math.min(this.#size * 2, this.#maxBytes);
    else if (count < this.#size / 8) this.#size = Math.max(this.#size / 2, this.#minBytes);
    return block.subarray(0, count);
  }
}
