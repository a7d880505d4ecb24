/** What an idle connection holds. */
const MIN_BYTES = 4096;
/** A read into less than this would be cut short too often. */
const MIN_ROOM = 1024;

/**
 * Memory to read into. What was read is handed out for good, so one block serves many small reads and is then left to
 * those who hold its parts. Blocks grow while reads fill them and shrink when reads stay small: a thousand idle
 * connections wait with a few KiB each.
 */
export class ReadBuffer {
  readonly #maxBytes: number;
  #size: number;
  #block: Uint8Array<ArrayBuffer>;
  #used = 0;

  /** @param maxBytes largest block, and so the most that one read brings */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
    this.#size = Math.min(MIN_BYTES, maxBytes);
    this.#block = new Uint8Array(0);
  }

  /** Where the next read goes. */
  room(): Uint8Array<ArrayBuffer> {
    if (this.#block.length - this.#used < Math.min(MIN_ROOM, this.#size)) {
      this.#block = new Uint8Array(this.#size);
      this.#used = 0;
    }
    return this.#block.subarray(this.#used);
  }

  /** What the read brought, of which there are `count` bytes. */
  take(count: number): Uint8Array {
    const chunk = this.#block.subarray(this.#used, this.#used + count);
    this.#used += count;
    if (this.#used === this.#block.length) this.#size = Math.min(this.#size * 2, this.#maxBytes);
    else if (count < this.#size / 8) this.#size = Math.max(this.#size / 2, Math.min(MIN_BYTES, this.#maxBytes));
    return chunk;
  }
}
