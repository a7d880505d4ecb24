/**
 * Memory for large frames. A fresh mebibyte for each would cost more than sending or receiving it: page faults, and the
 * garbage collections that its size triggers.
 */

import { MAX_SPARE_BYTES, SPARE_MEMORY_MS } from "../limits.ts";
import { TimerEntry, type TimerWheel } from "../util/timer-wheel.ts";

/** Sizes per doubling: frames of about one size share buffers, and at most an eighth is wasted. */
const SIZES_PER_DOUBLING = 8;

/** How a pool sizes and lends its buffers. */
export interface PoolUse {
  /**
   * True: the borrower may keep the buffer and show it to the application. New buffers are then exactly as large as asked
   * for, and a buffer that is lent again is zeroed behind the bytes asked for, so that it shows no other peer's data.
   */
  readonly mayBeKept: boolean;
  /** A spare buffer is lent only to what fills at least this part of it. */
  readonly minFill: number;
}

/** Frames on their way out: each buffer comes back soon, and may be up to an eighth larger than asked for. */
export const SENDING: PoolUse = { mayBeKept: false, minFill: 0.5 };
/** Frames that arrive: a buffer comes back unless the frame's binary data became the application's. */
export const RECEIVING: PoolUse = { mayBeKept: true, minFill: 0.8 };

/** Lends buffers, and takes them back once nothing refers to them. A buffer that never comes back is simply garbage. */
export class BufferPool extends TimerEntry {
  readonly #allocate: (bytes: number) => Uint8Array;
  readonly #wheel: TimerWheel;
  readonly #use: PoolUse;
  /** All buffers of this pool, lent or spare. */
  readonly #buffers = new WeakSet<ArrayBufferLike>();
  /** Most recently returned last. */
  readonly #spare: Uint8Array[] = [];
  #spareBytes = 0;
  /** How many, counted from the first, have stayed unused since the last check. */
  #idle = 0;

  constructor(allocate: (bytes: number) => Uint8Array, wheel: TimerWheel, use: PoolUse) {
    super();
    this.#allocate = allocate;
    this.#wheel = wheel;
    this.#use = use;
  }

  /** Bytes waiting to be lent again. */
  get spareBytes(): number {
    return this.#spareBytes;
  }

  /** A buffer of at least `bytes` bytes (8 or more), with arbitrary content. */
  take(bytes: number): Uint8Array {
    const { mayBeKept, minFill } = this.#use;
    const size = mayBeKept ? bytes : roundedUp(bytes);
    for (let index = this.#spare.length - 1; index >= 0; index -= 1) {
      const spare = this.#spare[index] as Uint8Array;
      const { length } = spare;
      if (length < size || length * minFill > size) continue;
      this.#remove(index, 1);
      return mayBeKept ? spare.fill(0, bytes) : spare;
    }
    const buffer = this.#allocate(size);
    this.#buffers.add(buffer.buffer);
    return buffer;
  }

  /** Whether `bytes` lie in a buffer of this pool. */
  owns(bytes: Uint8Array): boolean {
    return this.#buffers.has(bytes.buffer);
  }

  /**
   * Takes back a buffer, or a view of its beginning, that nothing else refers to. Buffers over MAX_SPARE_BYTES are left
   * to the garbage collector, and so are the longest unused ones when the total exceeds it.
   */
  give(bytes: Uint8Array): void {
    const buffer = new Uint8Array(bytes.buffer);
    if (buffer.length > MAX_SPARE_BYTES) return;
    while (this.#spareBytes + buffer.length > MAX_SPARE_BYTES) this.#remove(0, 1);
    this.#spare.push(buffer);
    this.#spareBytes += buffer.length;
    if (!this.isScheduled) this.#wheel.schedule(this, SPARE_MEMORY_MS);
  }

  /** Releases buffers unused since the last check. */
  override onTimer(): void {
    this.#remove(0, this.#idle);
    this.#idle = this.#spare.length;
    if (this.#idle > 0) this.#wheel.schedule(this, SPARE_MEMORY_MS);
  }

  #remove(index: number, count: number): void {
    for (const buffer of this.#spare.splice(index, count)) this.#spareBytes -= buffer.length;
    this.#idle = Math.min(this.#idle, this.#spare.length, index);
  }
}

function roundedUp(bytes: number): number {
  const step = 2 ** Math.floor(Math.log2(bytes)) / SIZES_PER_DOUBLING;
  return Math.ceil(bytes / step) * step;
}
