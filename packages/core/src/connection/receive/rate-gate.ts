/**
 * The rate limit of one connection.
 *
 * When a frame is over the rate, reading pauses until the rate allows the next one, so frames wait in the peer's send
 * queue and none are lost. The first frame over the rate in each window is rejected, to notify the peer; others are
 * accepted, and the pause compensates for them. Consecutive windows with a rejection count as violations; after too
 * many, the connection ends.
 */

import { HEADER_BYTES, MAX_RATE_VIOLATIONS, RATE_WINDOW_MS } from "../../limits.ts";
import { RateLimiter } from "../../util/token-bucket.ts";
import type { FrameDecoder } from "../../wire/frame-decoder.ts";

/**
 * `pass`: within the rate. `refuse`: the first frame over the rate in this window. `take`: a further one. `end`: too
 * many consecutive windows.
 */
export type RateVerdict = "pass" | "refuse" | "take" | "end";

export class RateGate {
  readonly #limiter: RateLimiter;
  /** Limits the items of streams; null if bytes aren't limited. */
  readonly #items: RateLimiter | null;
  #windowStartMs = Number.NEGATIVE_INFINITY;
  #violations = 0;
  /** Seconds until the last frame over the rate would be within it. */
  retryAfter = 0;

  constructor(limiter: RateLimiter, items: RateLimiter | null) {
    this.#limiter = limiter;
    this.#items = items;
  }

  /** Charges a frame. */
  charge(frame: FrameDecoder, nowMs: number): RateVerdict {
    const bytes = HEADER_BYTES + frame.payloadEnd - frame.payloadStart;
    this.retryAfter = this.#limiter.take(nowMs, bytes);
    if (this.retryAfter === 0) return "pass";
    const sinceMs = nowMs - this.#windowStartMs;
    if (sinceMs < RATE_WINDOW_MS) {
      this.retryAfter = this.#limiter.overdraw(bytes);
      return "take";
    }
    this.#violations = sinceMs < 2 * RATE_WINDOW_MS ? this.#violations + 1 : 1;
    this.#windowStartMs = nowMs;
    return this.#violations > MAX_RATE_VIOLATIONS ? "end" : "refuse";
  }

  /** The peer had no stream between these times: counts that time towards the data that waited. */
  catchUp(sinceMs: number, nowMs: number): void {
    this.#limiter.allow(sinceMs, nowMs);
    this.#items?.allow(sinceMs, nowMs);
  }

  /**
   * Charges a frame with stream items, which can't be rejected, separately from the peer's calls.
   * @returns how long reading pauses; 0 within the rate
   */
  chargeItems(bytes: number, nowMs: number): number {
    if (this.#items === null || this.#items.take(nowMs, bytes) === 0) return 0;
    return Math.min(RATE_WINDOW_MS, this.#items.overdraw(bytes) * 1000);
  }

  /** Charges the bytes that a frame was inflated by, which are unknown when it arrives. */
  chargeInflated(bytes: number): void {
    this.#limiter.overdrawBytes(bytes);
  }

  /** How long reading pauses after a frame over the rate. At most one window, so that heartbeats are read. */
  get pauseMs(): number {
    return Math.min(RATE_WINDOW_MS, this.retryAfter * 1000);
  }
}

/** Rates per second; Infinity or undefined for no limit. */
export interface Rates {
  readonly messagesPerSecond?: number | undefined;
  readonly bytesPerSecond?: number | undefined;
}

/** Returns null if there is no limit. */
export function rateGateOf(rates: Rates | null | undefined): RateGate | null {
  if (rates === null || rates === undefined) return null;
  const finite = (rate: number | undefined): number | undefined =>
    rate === Number.POSITIVE_INFINITY ? undefined : rate;
  const bytesPerSecond = finite(rates.bytesPerSecond);
  return new RateGate(
    new RateLimiter({ messagesPerSecond: finite(rates.messagesPerSecond), bytesPerSecond }),
    bytesPerSecond === undefined ? null : new RateLimiter({ bytesPerSecond }),
  );
}
