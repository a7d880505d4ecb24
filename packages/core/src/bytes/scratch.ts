const encoder = new TextEncoder();

/** UTF-8 bytes of a UTF-16 unit, at most. */
const MAX_UNIT_BYTES = 3;

/**
 * Memory for one short-lived byte string at a time. It leaves no garbage: the memory is used again, and so are the
 * arrays that show the first so many bytes of it.
 */
export class Scratch {
  readonly bytes: Uint8Array;
  /** By length. */
  readonly #views: Uint8Array[] = [];

  /** @param size bytes; each length that is ever asked for keeps an array of some 100 bytes. */
  constructor(size: number) {
    this.bytes = new Uint8Array(size);
  }

  /** The first `length` bytes; memory of their own if there are not so many. */
  first(length: number): Uint8Array {
    if (length > this.bytes.length) return new Uint8Array(length);
    this.#views[length] ??= this.bytes.subarray(0, length);
    return this.#views[length];
  }

  /** `text` in UTF-8, good until the next call. */
  utf8(text: string): Uint8Array {
    if (text.length * MAX_UNIT_BYTES > this.bytes.length) return encoder.encode(text);
    return this.first(encoder.encodeInto(text, this.bytes).written);
  }
}
