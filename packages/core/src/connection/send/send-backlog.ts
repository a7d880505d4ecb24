/** Bytes copied into a block at a time: small frames of a slow peer must not each keep a 64 KiB slab alive. */
const FIRST_BLOCK_BYTES = 4096;
const MAX_BLOCK_BYTES = 65_536;
/** Frames of this size and more have an array of their own already, and are kept as they are. */
const OWN_BLOCK_BYTES = 16_384;

interface Block {
  readonly bytes: Uint8Array;
  length: number;
  frames: number;
  answers: number;
  answerBytes: number;
  readonly sealed: boolean;
}

/** Whole frames that wait until the stream takes bytes again: first in, first out, in few large blocks. */
export class SendBacklog {
  #blocks: Block[] = [];
  #head = 0;
  /** Frames waiting. */
  frames = 0;
  /** Bytes waiting. */
  bytes = 0;
  /** Those of the frames that the peer itself asked for, and their bytes. */
  answers = 0;
  answerBytes = 0;

  append(bytes: Uint8Array, start: number, end: number, isAnswer: boolean): void {
    const length = end - start;
    const answers = isAnswer ? 1 : 0;
    const answerBytes = isAnswer ? length : 0;
    this.frames += 1;
    this.bytes += length;
    this.answers += answers;
    this.answerBytes += answerBytes;
    if (length >= OWN_BLOCK_BYTES) {
      this.#blocks.push({ bytes: bytes.subarray(start, end), length, frames: 1, answers, answerBytes, sealed: true });
      return;
    }
    let block = this.#blocks[this.#blocks.length - 1];
    if (block === undefined || block.sealed || block.bytes.length - block.length < length) {
      const size = block === undefined ? FIRST_BLOCK_BYTES : MAX_BLOCK_BYTES;
      const whole = new Uint8Array(Math.max(size, length));
      block = { bytes: whole, length: 0, frames: 0, answers: 0, answerBytes: 0, sealed: false };
      this.#blocks.push(block);
    }
    block.bytes.set(bytes.subarray(start, end), block.length);
    block.length += length;
    block.frames += 1;
    block.answers += answers;
    block.answerBytes += answerBytes;
  }

  /** Removes and returns the next run of whole frames, or null. */
  shift(): Uint8Array | null {
    const block = this.#blocks[this.#head];
    if (block === undefined) return null;
    this.#head += 1;
    if (this.#head === this.#blocks.length) {
      this.#blocks = [];
      this.#head = 0;
    } else if (this.#head >= 64) {
      this.#blocks = this.#blocks.slice(this.#head);
      this.#head = 0;
    }
    this.frames -= block.frames;
    this.bytes -= block.length;
    this.answers -= block.answers;
    this.answerBytes -= block.answerBytes;
    return block.length === block.bytes.length ? block.bytes : block.bytes.subarray(0, block.length);
  }

  /** Appends everything that waits in `other`, and empties it. */
  take(other: SendBacklog): void {
    for (let index = other.#head; index < other.#blocks.length; index += 1) {
      const block = other.#blocks[index] as Block;
      this.#blocks.push({ ...block, sealed: true });
    }
    this.frames += other.frames;
    this.bytes += other.bytes;
    this.answers += other.answers;
    this.answerBytes += other.answerBytes;
    other.clear();
  }

  clear(): void {
    this.#blocks = [];
    this.#head = 0;
    this.frames = 0;
    this.bytes = 0;
    this.answers = 0;
    this.answerBytes = 0;
  }
}
