/** What an idle connection holds. */
const MIN_BYTES = 4096;

/**
 * Memory to read into, one read after the other. It grows while reads fill it and shrinks when they stay small: a
 * thousand idle connections wait with a few KiB each.
 */
export class ReadBuffer {
  readonly #maxBytes: number;
  readonly #minBytes: number;
  #size: number;
  #block: Uint8Array<ArrayBuffer>;

  /** @param maxBytes the most that one read brings */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#minBytes = Math.min(MIN_BYTES, maxBytes);
    this.#size = this.#minBytes;
    this.#block = new Uint8Array(this.#size);
  }

  /** Where the next read goes. */
  room(): Uint8Array<ArrayBuffer> {
    if (this.#block.length !== this.#size) this.#block = new Uint8Array(this.#size);
    return this.#block;
  }

  /** What the read brought, of which there are `count` bytes. It holds until the next read begins. */
  take(count: number): Uint8Array {
    const block = this.#block;
    if (count === block.length) this.#size = Math.min(this.#size * 2, this.#maxBytes);
    else if (count < this.#size / 8) this.#size = Math.max(this.#size / 2, this.#minBytes);
    return block.subarray(0, count);
  }
}
