/**
 * Memory for large frames. Allocating a new mebibyte for each costs more than sending or receiving it, because of page
 * faults and garbage collections.
 */

import { MAX_SPARE_BYTES, SPARE_MEMORY_MS } from "../limits.ts";
import { freeMemory } from "../util/free-memory.ts";
import { TimerEntry, type TimerWheel } from "../util/timer-wheel.ts";

/** Size classes per doubling: frames of similar size share buffers, and at most an eighth is wasted. */
const SIZES_PER_DOUBLING = 8;

/** How a pool sizes and lends its buffers. */
export interface PoolUse {
  /**
   * Whether the borrower may keep the buffer and pass it to the application. If so, new buffers have exactly the
   * requested size, and a reused buffer is zeroed after that size, so that it exposes no other peer's data.
   */
  readonly mayBeKept: boolean;
  /** A spare buffer is reused only if at least this fraction of it is needed. */
  readonly minFill: number;
}

/** For outgoing frames: each buffer is returned soon, and may be up to an eighth larger than requested. */
export const SENDING: PoolUse = { mayBeKept: false, minFill: 0.5 };
/** For incoming frames: a buffer is returned unless the application received binary data in it. */
export const RECEIVING: PoolUse = { mayBeKept: true, minFill: 0.8 };

/** Lends buffers, reuses returned ones and frees those beyond a limit. Buffers that aren't returned are garbage. */
export class BufferPool extends TimerEntry {
  readonly #allocate: (bytes: number) => Uint8Array;
  readonly #wheel: TimerWheel;
  readonly #use: PoolUse;
  /** All buffers of this pool, lent or spare. */
  readonly #buffers = new WeakSet<ArrayBufferLike>();
  /** Most recently returned last. */
  readonly #spare: Uint8Array[] = [];
  #spareBytes = 0;
  /** Number of buffers, from the first, that stayed unused since the last check. */
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

  /** Returns a buffer of at least `bytes` bytes (8 or more), with arbitrary content. */
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

  /** Whether `bytes` is in a buffer of this pool. */
  owns(bytes: Uint8Array): boolean {
    return this.#buffers.has(bytes.buffer);
  }

  /** Takes back a buffer, or a view of its start, that nothing else refers to. Frees buffers larger than
   * MAX_SPARE_BYTES, and the longest unused ones if the total exceeds it.
   */
  give(bytes: Uint8Array): void {
    const buffer = new Uint8Array(bytes.buffer);
    if (buffer.length > MAX_SPARE_BYTES) {
      freeMemory(buffer.buffer);
      return;
    }
    while (this.#spareBytes + buffer.length > MAX_SPARE_BYTES) this.#free(1);
    this.#spare.push(buffer);
    this.#spareBytes += buffer.length;
    if (!this.isScheduled) this.#wheel.schedule(this, SPARE_MEMORY_MS);
  }

  /** Releases all spare buffers. */
  clear(): void {
    this.#free(this.#spare.length);
    this.#wheel.cancel(this);
  }

  /** Releases buffers unused since the last check. */
  override onTimer(): void {
    this.#free(this.#idle);
    this.#idle = this.#spare.length;
    if (this.#idle > 0) this.#wheel.schedule(this, SPARE_MEMORY_MS);
  }

  /** Frees the longest unused ones. */
  #free(count: number): void {
    const buffers = this.#spare.slice(0, count);
    this.#remove(0, count);
    for (const { buffer } of buffers) freeMemory(buffer);
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
