/**
 * Memory for large frames on their way out: a mebibyte of fresh memory for each would cost more than sending it, in page
 * faults and in garbage collections that its size sets off.
 */

import { TimerEntry, type TimerWheel } from "../session/timer-wheel.ts";

/** So many sizes there are up to each doubling: frames of about one size share their buffers, and an eighth is lost. */
const SIZES_PER_DOUBLING = 8;
/** What is kept for later. Beyond, buffers are left to the garbage collector. */
const MAX_SPARE_BYTES = 8 * 1024 * 1024;
const MAX_SPARE_BUFFERS = 64;
/** Spare buffers that nobody took for so long are let go. */
const KEEP_MS = 5000;

/** Buffers that are lent, and come back when nothing refers to them any more. One that does not come back is no loss. */
export class BufferPool extends TimerEntry {
  readonly #allocate: (bytes: number) => Uint8Array;
  readonly #wheel: TimerWheel;
  readonly #made = new WeakSet<ArrayBufferLike>();
  #spare: Uint8Array[] = [];
  #spareBytes = 0;
  #usedSinceCheck = false;

  constructor(allocate: (bytes: number) => Uint8Array, wheel: TimerWheel) {
    super();
    this.#allocate = allocate;
    this.#wheel = wheel;
  }

  /** Bytes that wait to be lent again. */
  get spareBytes(): number {
    return this.#spareBytes;
  }

  /** A buffer of at least `bytes` bytes, 8 or more; a new one is at most an eighth larger. With any content. */
  take(bytes: number): Uint8Array {
    const step = 2 ** Math.floor(Math.log2(bytes)) / SIZES_PER_DOUBLING;
    const size = Math.ceil(bytes / step) * step;
    this.#usedSinceCheck = true;
    for (let index = this.#spare.length - 1; index >= 0; index -= 1) {
      const { length } = this.#spare[index] as Uint8Array;
      if (length < size || length >= 2 * size) continue;
      this.#spareBytes -= length;
      return this.#spare.splice(index, 1)[0] as Uint8Array;
    }
    const buffer = this.#allocate(size);
    this.#made.add(buffer.buffer);
    return buffer;
  }

  /** Whether `bytes` lie in a buffer of this pool. */
  owns(bytes: Uint8Array): boolean {
    return this.#made.has(bytes.buffer);
  }

  /** Takes back a buffer, or a view of one from its beginning, to which nothing else refers. */
  give(bytes: Uint8Array): void {
    const buffer = new Uint8Array(bytes.buffer);
    if (this.#spareBytes + buffer.length > MAX_SPARE_BYTES || this.#spare.length === MAX_SPARE_BUFFERS) return;
    this.#spare.push(buffer);
    this.#spareBytes += buffer.length;
    if (!this.isScheduled) this.#wheel.schedule(this, KEEP_MS);
  }

  override onTimer(): void {
    if (this.#usedSinceCheck) {
      this.#usedSinceCheck = false;
      this.#wheel.schedule(this, KEEP_MS);
      return;
    }
    this.#spare = [];
    this.#spareBytes = 0;
  }
}
