import { Fifo } from "../../util/fifo.ts";

/** Block size. Small frames to a slow peer are copied into blocks, so that each doesn't retain a 64 KiB slab. */
const FIRST_BLOCK_BYTES = 4096;
const MAX_BLOCK_BYTES = 65_536;
/** Frames of at least this size already have their own array, and are kept without copying. */
const OWN_BLOCK_BYTES = 16_384;

interface Block {
  readonly bytes: Uint8Array;
  length: number;
  frames: number;
  answers: number;
  answerBytes: number;
}

/** A FIFO of complete frames that wait until the stream accepts bytes again, in few large blocks. */
export class SendBacklog {
  readonly #blocks: Fifo<Block> = new Fifo();
  /** The last block, while frames are still copied into it. */
  #open: Block | null = null;
  /** Number of frames. */
  frames = 0;
  /** Number of bytes. */
  bytes = 0;
  /** Number and bytes of frames that the peer requested (replies). */
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
      this.#blocks.push({ bytes: bytes.subarray(start, end), length, frames: 1, answers, answerBytes });
      this.#open = null;
      return;
    }
    let block = this.#open;
    if (block === null || block.bytes.length - block.length < length) {
      const size = this.#blocks.length === 0 ? FIRST_BLOCK_BYTES : MAX_BLOCK_BYTES;
      const whole = new Uint8Array(Math.max(size, length));
      block = { bytes: whole, length: 0, frames: 0, answers: 0, answerBytes: 0 };
      this.#blocks.push(block);
      this.#open = block;
    }
    block.bytes.set(bytes.subarray(start, end), block.length);
    block.length += length;
    block.frames += 1;
    block.answers += answers;
    block.answerBytes += answerBytes;
  }

  /** Removes and returns the next block of complete frames, or null. */
  shift(): Uint8Array | null {
    const block = this.#blocks.shift();
    if (block === undefined) return null;
    if (block === this.#open) this.#open = null;
    this.frames -= block.frames;
    this.bytes -= block.length;
    this.answers -= block.answers;
    this.answerBytes -= block.answerBytes;
    return block.length === block.bytes.length ? block.bytes : block.bytes.subarray(0, block.length);
  }

  /** Moves all frames of `other` to the end. */
  take(other: SendBacklog): void {
    for (const block of other.#blocks) this.#blocks.push(block);
    this.#open = null;
    this.frames += other.frames;
    this.bytes += other.bytes;
    this.answers += other.answers;
    this.answerBytes += other.answerBytes;
    other.clear();
  }

  clear(): void {
    this.#blocks.clear();
    this.#open = null;
    this.frames = 0;
    this.bytes = 0;
    this.answers = 0;
    this.answerBytes = 0;
  }
}
