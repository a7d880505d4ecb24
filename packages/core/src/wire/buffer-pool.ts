/**
 * Memory for large frames: a mebibyte of fresh memory for each would cost more than sending or receiving it, in page
 * faults and in garbage collections that its size sets off.
 */

import { MAX_SPARE_BYTES, SPARE_MEMORY_MS } from "../limits.ts";
import { TimerEntry, type TimerWheel } from "../util/timer-wheel.ts";

/** So many sizes there are up to each doubling: frames of about one size share their buffers, and an eighth is lost. */
const SIZES_PER_DOUBLING = 8;

/** Which pool a buffer is of. */
const pools = new WeakMap<ArrayBufferLike, BufferPool>();

/** What a pool's buffers are for. */
export interface PoolUse {
  /**
   * True: its content becomes the application's. A new buffer is as large as it has to be, for it may never come back,
   * and one that is lent again has zeros behind the bytes asked for, not what somebody else received. False: a new
   * buffer is up to an eighth larger.
   */
  readonly isHandedOver: boolean;
  /** A spare buffer is lent for what fills at least this part of it. */
  readonly minFill: number;
}

/** For frames on their way out: each buffer comes back soon. */
export const SENDING: PoolUse = { isHandedOver: false, minFill: 0.5 };
/** For frames that arrive: their buffers are the application's, which may give them back. */
export const RECEIVING: PoolUse = { isHandedOver: true, minFill: 0.8 };

/** Buffers that are lent, and come back when nothing refers to them any more. One that does not come back is no loss. */
export class BufferPool extends TimerEntry {
  readonly #allocate: (bytes: number) => Uint8Array;
  readonly #wheel: TimerWheel;
  readonly #use: PoolUse;
  /** The one that came back last stands last. */
  readonly #spare: Uint8Array[] = [];
  #spareBytes = 0;
  /** So many of them, the first ones, were there all the time since the last check. */
  #idle = 0;

  constructor(allocate: (bytes: number) => Uint8Array, wheel: TimerWheel, use: PoolUse) {
    super();
    this.#allocate = allocate;
    this.#wheel = wheel;
    this.#use = use;
  }

  /** Bytes that wait to be lent again. */
  get spareBytes(): number {
    return this.#spareBytes;
  }

  /** A buffer of at least `bytes` bytes, 8 or more. They have any content. */
  take(bytes: number): Uint8Array {
    const { isHandedOver, minFill } = this.#use;
    const size = isHandedOver ? bytes : roundedUp(bytes);
    for (let index = this.#spare.length - 1; index >= 0; index -= 1) {
      const spare = this.#spare[index] as Uint8Array;
      const { length } = spare;
      if (length < size || length * minFill > size) continue;
      this.#remove(index, 1);
      return isHandedOver ? spare.fill(0, bytes) : spare;
    }
    const buffer = this.#allocate(size);
    pools.set(buffer.buffer, this);
    return buffer;
  }

  /** Whether `bytes` lie in a buffer of this pool. */
  owns(bytes: Uint8Array): boolean {
    return pools.get(bytes.buffer) === this;
  }

  /**
   * Takes back a buffer, or a view of one from its beginning, to which nothing else refers. One that is too large to be
   * kept is left to the garbage collector, and so are, beyond the bound, those that have waited longest.
   */
  give(bytes: Uint8Array): void {
    const buffer = new Uint8Array(bytes.buffer);
    if (buffer.length > MAX_SPARE_BYTES) return;
    while (this.#spareBytes + buffer.length > MAX_SPARE_BYTES) this.#remove(0, 1);
    this.#spare.push(buffer);
    this.#spareBytes += buffer.length;
    if (!this.isScheduled) this.#wheel.schedule(this, SPARE_MEMORY_MS);
  }

  /**
   * Takes back a buffer to which others may still refer: all they see from now on is that it is empty.
   * @returns false: it is too large to be kept, or empty, or in use by the runtime, and stays as it is
   */
  reclaim(shared: ArrayBufferLike): boolean {
    if (shared.byteLength === 0 || shared.byteLength > MAX_SPARE_BYTES) return false;
    const buffer = (shared as ArrayBuffer & { transfer(): ArrayBuffer }).transfer();
    // Bun copies what it is about to write or to compress, and leaves the original as it is.
    if (shared.byteLength > 0) return false;
    pools.delete(shared);
    pools.set(buffer, this);
    this.give(new Uint8Array(buffer));
    return true;
  }

  /** Lets go of what was of no use since the last check. */
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

/**
 * Gives the memory of received binary data back, so that later messages, of any peer, are received in it. For large data:
 * receiving into fresh memory takes longer than receiving itself. Without it nothing is wrong; the memory is yours, and
 * the garbage collector's in the end.
 *
 * **Call it when every use of the data has ended**, also those that go on by themselves: writes to files, sockets and
 * HTTP responses that were not awaited, streams, compression, hashing on another thread. Runtimes read such data until
 * they are done, and would find there what somebody else sent. What `send`, `call`, `request` and `broadcast` accepted on
 * an open connection is copied.
 *
 * From then on `data`, and all other binary data of the same message, is empty (its buffer is detached).
 *
 * @param data a `Uint8Array` as a handler, a call or a request got it
 * @returns whether its memory was taken back. False leaves it as it is: it is small (less than 32 KiB), larger than
 * 8 MiB, arrived compressed, is the library's no more, or (on Bun) is in use
 */
export function recycle(data: Uint8Array): boolean {
  return pools.get(data.buffer)?.reclaim(data.buffer) ?? false;
}
