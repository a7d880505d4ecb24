/**
 * The rate limit of one connection.
 *
 * Over the rate, reading pauses until the rate allows the next frame, so frames wait in the peer's send queue and none
 * is lost. The first frame over it in each window is refused, to tell the peer; the others are taken, and the pause
 * makes up for them. Each window with a refusal right after another one is a further violation; after too many the
 * connection ends.
 */

import { HEADER_BYTES, MAX_RATE_VIOLATIONS, RATE_WINDOW_MS } from "../../limits.ts";
import { RateLimiter } from "../../util/token-bucket.ts";
import type { FrameDecoder } from "../../wire/frame-decoder.ts";

/**
 * `pass`: within the rate. `refuse`: the first one over it in this window. `take`: a further one. `end`: one too many
 * windows in a row.
 */
export type RateVerdict = "pass" | "refuse" | "take" | "end";

export class RateGate {
  readonly #limiter: RateLimiter;
  /** Limits the items of streams; null if bytes aren't limited. */
  readonly #items: RateLimiter | null;
  #windowStartMs = Number.NEGATIVE_INFINITY;
  #violations = 0;
  /** Seconds until the last frame that was over the rate would be within it. */
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

  /** The peer had no stream between these times: what waited is within the rate. */
  catchUp(sinceMs: number, nowMs: number): void {
    this.#limiter.allow(sinceMs, nowMs);
    this.#items?.allow(sinceMs, nowMs);
  }

  /**
   * Charges a frame with items of a stream, which can't be refused: calls of the same peer are charged apart from them.
   * @returns how long reading pauses; 0 within the rate
   */
  chargeItems(bytes: number, nowMs: number): number {
    if (this.#items === null || this.#items.take(nowMs, bytes) === 0) return 0;
    return Math.min(RATE_WINDOW_MS, this.#items.overdraw(bytes) * 1000);
  }

  /** Charges bytes of a frame that were not known when it arrived: the rate counts payloads as they are inflated. */
  chargeInflated(bytes: number): void {
    this.#limiter.overdrawBytes(bytes);
  }

  /** How long reading pauses after a frame over the rate. At most a window, so that a peer's heartbeats are read. */
  get pauseMs(): number {
    return Math.min(RATE_WINDOW_MS, this.retryAfter * 1000);
  }
}

/** Rates per second; Infinity or undefined: not limited. */
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
