import { MAX_CHUNK_BYTES } from "../../limits.ts";

const MIN_WINDOW_BYTES = 2 * MAX_CHUNK_BYTES;
/** Fills 1 Gbit/s over a round trip of 130 ms. */
const MAX_WINDOW_BYTES = 16 * 1024 * 1024;
/** Round trips up to this many times the shortest one mean that nothing queues on the way, so the window may grow. */
const GROW_RATIO = 1.25;
/** Longer ones mean that a queue has built up, so the window shrinks. */
const SHRINK_RATIO = 2;
/**
 * A queue that passes in this time does no harm while no small frames wait for it. Without it, two processes on one
 * machine wait for each other's acknowledgements: 700 instead of 920 MB/s.
 */
const HARMLESS_MS = 2;

/** How many bytes of chunks may be on their way without an acknowledgement, before one more chunk is sent. */
export class ChunkWindow {
  #size = MIN_WINDOW_BYTES;
  #sent = 0;
  #acknowledged = 0;
  #shortestMs = Number.POSITIVE_INFINITY;
  /** The round trip being measured: it ends when this many bytes are acknowledged. 0: none. */
  #probe = 0;
  #probeSentMs = 0;
  /** Whether the window was full since the round trip began. */
  #wasFull = false;
  /** Whether small frames were sent since the round trip began. */
  #wasShared = false;

  get size(): number {
    return this.#size;
  }

  /** Whether another chunk may be sent. */
  get hasRoom(): boolean {
    if (this.#sent - this.#acknowledged < this.#size) return true;
    this.#wasFull = true;
    return false;
  }

  sent(bytes: number, nowMs: number): void {
    this.#sent += bytes;
    if (this.#probe > 0) return;
    this.#probe = this.#sent;
    this.#probeSentMs = nowMs;
    this.#wasFull = false;
    this.#wasShared = false;
  }

  /** A small frame was sent, and more may follow: they don't wait behind more than the smallest window. */
  shared(): void {
    this.#wasShared = true;
    this.#size = MIN_WINDOW_BYTES;
  }

  /** More than was sent counts as all of it. */
  acknowledged(bytes: number, nowMs: number): void {
    this.#acknowledged = Math.min(this.#sent, this.#acknowledged + bytes);
    if (this.#probe === 0 || this.#acknowledged < this.#probe) return;
    this.#probe = 0;
    this.#measured(nowMs - this.#probeSentMs);
  }

  #measured(roundTripMs: number): void {
    this.#shortestMs = Math.min(this.#shortestMs, roundTripMs);
    if (!this.#wasFull || this.#wasShared) return;
    const isShort = roundTripMs <= Math.max(GROW_RATIO * this.#shortestMs, HARMLESS_MS);
    const isLong = roundTripMs > Math.max(SHRINK_RATIO * this.#shortestMs, SHRINK_RATIO * HARMLESS_MS);
    if (isShort) this.#size = Math.min(2 * this.#size, MAX_WINDOW_BYTES);
    else if (isLong) this.#size = Math.max(this.#size / 2, MIN_WINDOW_BYTES);
  }
}
