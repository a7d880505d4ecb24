import type { OpenFile } from "../../util/file-access.ts";

/**
 * Each write wakes a thread that competes with hashing and receiving, so writes are few and large (bench/NOTES.md).
 * Block sizes double up to this, so that many small files take little memory.
 */
const MAX_BLOCK_BYTES: number = 256 * 1024;
const FIRST_BLOCK_BYTES: number = 4 * 1024;

/** Appends to a file in blocks. One block is written while the next one fills. */
export class BlockWriter {
  readonly #file: OpenFile;
  /** File position of the current block. */
  #position: number;
  #block: Uint8Array = new Uint8Array(FIRST_BLOCK_BYTES);
  #used = 0;
  /** The previous block, which can be reused once it is written. */
  #spare: Uint8Array | null = null;
  #writing: Promise<void> | null = null;

  constructor(file: OpenFile, position: number) {
    this.#file = file;
    this.#position = position;
  }

  /** Appends a copy of the bytes. Rejects with the system's error, including that of an earlier write. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let from = 0; from < bytes.length; ) {
      const part = bytes.subarray(from, from + this.#block.length - this.#used);
      this.#block.set(part, this.#used);
      this.#used += part.length;
      from += part.length;
      if (this.#used === this.#block.length) await this.#next();
    }
  }

  /** Resolves when all bytes have been passed to the system. Rejects like `write`. */
  async flush(): Promise<void> {
    if (this.#used > 0) await this.#next();
    await this.#writing;
  }

  /** Resolves when no write is in progress. */
  async idle(): Promise<void> {
    await this.#writing?.catch(() => undefined);
  }

  /** Writes the block once the previous one is written. */
  async #next(): Promise<void> {
    await this.#writing;
    const block = this.#block;
    const size = Math.min(2 * block.length, MAX_BLOCK_BYTES);
    const spare = this.#spare;
    this.#block = spare !== null && spare.length === size ? spare : new Uint8Array(size);
    this.#spare = block;
    this.#writing = this.#file.write(block.subarray(0, this.#used), this.#position);
    // The next call rejects with its error.
    this.#writing.catch(() => undefined);
    this.#position += this.#used;
    this.#used = 0;
  }
}
