/**
 * Measures how long one connection has kept the event loop from others.
 *
 * Chunks of one connection that follow each other closely belong to the same slice, because a runtime may deliver many
 * of one socket before it turns to the next. Time between two chunks is subtracted, since others can use it.
 *
 * Reading the clock for every frame would cost 1 to 2 % of the throughput, so it is read after four small frames or one
 * larger one.
 */
import { TIME_SLICE_MS } from "../limits.ts";

/** Small frames between two readings of the clock. */
const FRAMES_PER_CHECK = 4;
/** A payload counts as one more small frame for each of this many bytes. */
const BYTES_PER_UNIT = 1024;

export class TimeSlice {
  readonly #clock: { now(): number };
  /** The connection at work, or the last one. */
  #worker: object | null = null;
  #startedAtMs = 0;
  #endedAtMs = 0;
  /** Time taken before `#startedAtMs`. */
  #usedMs = 0;
  #units = 0;

  constructor(clock: { now(): number }) {
    this.#clock = clock;
  }

  /** A connection begins to work on a chunk that arrived at this time. */
  begin(worker: object, nowMs: number): void {
    const freeMs = nowMs - this.#endedAtMs;
    this.#usedMs = worker === this.#worker && freeMs < this.#usedMs ? this.#usedMs - freeMs : 0;
    this.#worker = worker;
    this.#startedAtMs = nowMs;
  }

  /** A connection begins to work in a turn of its own. */
  beginTurn(worker: object): void {
    this.#worker = worker;
    this.#startedAtMs = this.#clock.now();
    this.#usedMs = 0;
    this.#units = 0;
  }

  /** A frame caused a reply of this size. */
  add(replyBytes: number): void {
    this.#units += replyBytes / BYTES_PER_UNIT;
  }

  /** A frame was processed. Returns whether the slice is over. */
  frameDone(payloadBytes: number): boolean {
    this.#units += payloadBytes < BYTES_PER_UNIT ? 1 : 1 + payloadBytes / BYTES_PER_UNIT;
    if (this.#units < FRAMES_PER_CHECK) return false;
    this.#units = 0;
    return this.#usedMs + this.#clock.now() - this.#startedAtMs >= TIME_SLICE_MS;
  }

  /** The connection stops working for now. Returns whether the slice is over. */
  end(): boolean {
    this.#endedAtMs = this.#clock.now();
    this.#usedMs += this.#endedAtMs - this.#startedAtMs;
    return this.#usedMs >= TIME_SLICE_MS;
  }
}
