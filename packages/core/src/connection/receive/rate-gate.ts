import { HEADER_BYTES } from "../../limits.ts";
import { RateLimiter } from "../../util/token-bucket.ts";
import type { FrameDecoder } from "../../wire/frame-decoder.ts";

/** The rate limit of one connection. */
export class RateGate {
  readonly #limiter: RateLimiter;

  constructor(limiter: RateLimiter) {
    this.#limiter = limiter;
  }

  /** Charges a frame. Returns 0 if it is within the limit, else the seconds until it would be. */
  retryAfter(frame: FrameDecoder, nowMs: number): number {
    return this.#limiter.take(nowMs, HEADER_BYTES + frame.payloadEnd - frame.payloadStart);
  }
}

/** Rates per second; Infinity or undefined: not limited. */
interface Rates {
  readonly messagesPerSecond?: number | undefined;
  readonly bytesPerSecond?: number | undefined;
}

/** Returns null if there is no limit. */
export function rateGateOf(rates: Rates | null | undefined): RateGate | null {
  if (rates === null || rates === undefined) return null;
  const finite = (rate: number | undefined): number | undefined =>
    rate === Number.POSITIVE_INFINITY ? undefined : rate;
  return new RateGate(
    new RateLimiter({
      messagesPerSecond: finite(rates.messagesPerSecond),
      bytesPerSecond: finite(rates.bytesPerSecond),
    }),
  );
}
