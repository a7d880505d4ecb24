/**
 * Measures how long one connection has been working in a turn of the event loop.
 *
 * Reading the clock for every frame would cost 1 to 2 % of the throughput, so it is read after four small frames or one
 * larger one. Chunks of one connection that follow each other without a gap belong to the same slice: a runtime may
 * deliver many of one socket before it turns to the next.
 */
import { TIME_SLICE_MS } from "../limits.ts";

/** A pause this short between two chunks leaves no time for others. */
const GAP_MS = 0.1;
/** Small frames between two readings of the clock. */
const FRAMES_PER_CHECK = 4;
/** A payload counts as one more small frame for each of this many bytes. */
const BYTES_PER_UNIT = 1024;

export class TimeSlice {
  readonly #clock: { now(): number };
  /** The connection at work. */
  #worker: object | null = null;
  #startedAtMs = 0;
  #seenAtMs = 0;
  #units = 0;

  constructor(clock: { now(): number }) {
    this.#clock = clock;
  }

  /** A chunk of this connection arrived. Returns whether the slice that it belongs to is over. */
  chunkArrived(worker: object, nowMs: number): boolean {
    if (worker !== this.#worker || nowMs - this.#seenAtMs > GAP_MS) this.#begin(worker, nowMs);
    this.#seenAtMs = nowMs;
    return nowMs - this.#startedAtMs >= TIME_SLICE_MS;
  }

  /** A new slice begins, whatever came before. */
  start(worker: object): void {
    this.#begin(worker, this.#clock.now());
    this.#units = 0;
  }

  /** A frame was processed. Returns whether the slice is over. */
  frameDone(payloadBytes: number): boolean {
    this.#units += payloadBytes < BYTES_PER_UNIT ? 1 : 1 + payloadBytes / BYTES_PER_UNIT;
    if (this.#units < FRAMES_PER_CHECK) return false;
    this.#units = 0;
    this.#seenAtMs = this.#clock.now();
    return this.#seenAtMs - this.#startedAtMs >= TIME_SLICE_MS;
  }

  #begin(worker: object, nowMs: number): void {
    this.#worker = worker;
    this.#startedAtMs = nowMs;
    this.#seenAtMs = nowMs;
  }
}
