import { MIN_FRAME_BYTES_PER_SECOND } from "../limits.ts";

/** A connection and the progress of its current frame. */
export interface ProgressSource {
  /** Number of the partially received frame; 0 if there is none. */
  readonly incompleteFrame: number;
  readonly bytesReceived: number;
  /** Whether the connection is being read, and since when, in monotonic milliseconds. */
  readonly isReading: boolean;
  readonly readingSinceMs: number;
}

/**
 * Detects frames that arrive too slowly. While a frame is incomplete, `MIN_FRAME_BYTES_PER_SECOND` must arrive on
 * average over each period of the heartbeat timeout, so that a peer can't hold the memory of a large frame by sending
 * a byte now and then.
 */
export class FrameProgress {
  #frame = 0;
  #bytes = 0;
  #sinceMs = 0;
  #checkedAtMs = 0;

  /** Whether the current frame is too slow. Must be called more often than once per `periodMs`. */
  check(source: ProgressSource, periodMs: number, nowMs: number): boolean {
    const { incompleteFrame, bytesReceived, isReading, readingSinceMs } = source;
    // A longer gap means that this process was paused and didn't read.
    const hasSlept = nowMs - this.#checkedAtMs > periodMs;
    this.#checkedAtMs = nowMs;
    const isSame = incompleteFrame !== 0 && incompleteFrame === this.#frame;
    if (isSame && isReading && readingSinceMs <= this.#sinceMs && !hasSlept) {
      const elapsedMs = nowMs - this.#sinceMs;
      if (elapsedMs < periodMs) return false;
      if (bytesReceived - this.#bytes < (elapsedMs / 1000) * MIN_FRAME_BYTES_PER_SECOND) return true;
    }
    this.#frame = incompleteFrame;
    this.#bytes = bytesReceived;
    this.#sinceMs = nowMs;
    return false;
  }
}
