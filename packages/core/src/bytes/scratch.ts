const encoder = new TextEncoder();

/** UTF-8 bytes of a UTF-16 unit, at most. */
const MAX_UNIT_BYTES = 3;
/** Lengths up to here have their arrays kept, of some 100 bytes each. */
const MAX_KEPT_LENGTH = 512;

/**
 * Memory for one short-lived byte string at a time. It leaves no garbage: the memory is used again, and so are the
 * arrays that show the first so many bytes of it.
 */
export class Scratch {
  #bytes: Uint8Array;
  #length = 0;
  /** By length. */
  #views: Uint8Array[] = [];

  /** @param size bytes at first; it grows as it must. */
  constructor(size: number) {
    this.#bytes = new Uint8Array(size);
  }

  /** Memory of `length` bytes with any content, good until the next use. */
  take(length: number): Uint8Array {
    this.#length = 0;
    this.#reserve(length);
    this.#length = length;
    return this.bytes();
  }

  /** Begins a text anew. */
  clear(): this {
    this.#length = 0;
    return this;
  }

  /** Adds `text`, or its part from `from` to `to`, in UTF-8. */
  add(text: string, from = 0, to: number = text.length): this {
    const length = to - from;
    this.#reserve(MAX_UNIT_BYTES * length);
    const bytes = this.#bytes;
    const start = this.#length;
    for (let index = 0; index < length; index += 1) {
      const code = text.charCodeAt(from + index);
      if (code > 0x7f) {
        this.#length = start + encoder.encodeInto(text.slice(from, to), bytes.subarray(start)).written;
        return this;
      }
      bytes[start + index] = code;
    }
    this.#length = start + length;
    return this;
  }

  /** What was added, good until the next use. */
  bytes(): Uint8Array {
    const length = this.#length;
    if (length > MAX_KEPT_LENGTH) return this.#bytes.subarray(0, length);
    this.#views[length] ??= this.#bytes.subarray(0, length);
    return this.#views[length];
  }

  #reserve(more: number): void {
    const needed = this.#length + more;
    if (needed <= this.#bytes.length) return;
    const larger = new Uint8Array(Math.max(needed, 2 * this.#bytes.length));
    larger.set(this.#bytes);
    this.#bytes = larger;
    this.#views = [];
  }
}
