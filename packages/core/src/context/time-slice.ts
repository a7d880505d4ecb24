/**
 * Measures how long one connection has kept the event loop from others.
 *
 * Chunks of one connection that follow each other closely belong to the same slice, because a runtime may deliver
 * many of one socket before it turns to the next: Node.js reads up to 2 MiB, which TLS passes on in thousands of
 * records. Time between two chunks in the same event loop turn counts, because the runtime reads and decrypts during
 * it. Time between two turns doesn't, because others can use it.
 *
 * Reading the clock for every frame would cost 1 to 2 % of the throughput, so it is read after four small frames or
 * one larger one. Likewise, the end of the turn is only detected, by a task in the next turn, after sixteen small
 * chunks or one of 64 KiB.
 */
import { TIME_SLICE_MS } from "../limits.ts";
import type { Runtime } from "../runtime.ts";

/** The clock, and the functions to detect the end of a turn. */
export type SliceRuntime = Pick<Runtime, "now" | "nextTurn" | "boundsReads">;

/** Number of small frames between two clock reads. */
const FRAMES_PER_CHECK = 4;
/** A payload counts as one more small frame for each of this many bytes. */
const BYTES_PER_UNIT = 1024;
/** Number of small chunks until the end of the turn is checked. A chunk counts as one more for each 4 KiB. */
const CHUNKS_PER_MARK = 16;
const BYTES_PER_CHUNK = 4096;

export class TimeSlice {
  readonly #runtime: SliceRuntime;
  /** The connection being processed, or the last one. */
  #worker: object | null = null;
  #startedAtMs = 0;
  #endedAtMs = 0;
  /** Time used before `#startedAtMs`. */
  #usedMs = 0;
  #units = 0;
  #chunks = 0;
  /** Whether this is still the turn whose end was last checked. */
  #isSameTurn = false;

  constructor(runtime: SliceRuntime) {
    this.#runtime = runtime;
  }

  /** A connection starts to process a chunk of this size that arrived at this time. */
  begin(worker: object, nowMs: number, chunkBytes: number): void {
    const gapMs = nowMs - this.#endedAtMs;
    const usedMs = this.#isSameTurn ? this.#usedMs + gapMs : Math.max(0, this.#usedMs - gapMs);
    this.#usedMs = worker === this.#worker ? usedMs : 0;
    this.#worker = worker;
    this.#startedAtMs = nowMs;
    this.#chunks += 1 + chunkBytes / BYTES_PER_CHUNK;
    if (this.#chunks < CHUNKS_PER_MARK || this.#isSameTurn || this.#runtime.boundsReads === true) return;
    this.#isSameTurn = true;
    this.#runtime.nextTurn(this.#turnEnded);
  }

  readonly #turnEnded = (): void => {
    this.#isSameTurn = false;
    this.#chunks = 0;
  };

  /** A connection starts to work in a turn of its own. */
  beginTurn(worker: object): void {
    this.#worker = worker;
    this.#startedAtMs = this.#runtime.now();
    this.#usedMs = 0;
    this.#units = 0;
  }

  /** Counts a frame's reply of this size. */
  add(replyBytes: number): void {
    this.#units += replyBytes / BYTES_PER_UNIT;
  }

  /** Counts a processed frame. Returns whether the slice is used up. */
  frameDone(payloadBytes: number): boolean {
    this.#units += payloadBytes < BYTES_PER_UNIT ? 1 : 1 + payloadBytes / BYTES_PER_UNIT;
    if (this.#units < FRAMES_PER_CHECK) return false;
    this.#units = 0;
    return this.#usedMs + this.#runtime.now() - this.#startedAtMs >= TIME_SLICE_MS;
  }

  /** The connection pauses. Returns whether the slice is used up. */
  end(): boolean {
    this.#endedAtMs = this.#runtime.now();
    this.#usedMs += this.#endedAtMs - this.#startedAtMs;
    return this.#usedMs >= TIME_SLICE_MS;
  }
}
