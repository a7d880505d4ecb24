import { HEADER_BYTES } from "../../limits.ts";
import { RateLimiter } from "../../util/token-bucket.ts";
import type { FrameDecoder } from "../../wire/frame-decoder.ts";
import type { ConnectionSettings } from "../connection-settings.ts";

/** The rate limit of one connection. */
export class RateGate {
  readonly #limiter: RateLimiter;

  constructor(limiter: RateLimiter) {
    this.#limiter = limiter;
  }

  /** Charges a frame. @returns 0: it is within the rate; else the seconds after which it would be */
  retryAfter(frame: FrameDecoder, nowMs: number): number {
    return this.#limiter.take(nowMs, HEADER_BYTES + frame.payloadEnd - frame.payloadStart);
  }
}

/** @returns null: there is no limit */
export function rateGateOf(rates: ConnectionSettings["rateLimit"]): RateGate | null {
  if (rates === null || rates === undefined) return null;
  // A rate that is not limited is Infinity in the configuration, and left out for the limiter.
  const finite = (rate: number | undefined): number | undefined =>
    rate === Number.POSITIVE_INFINITY ? undefined : rate;
  return new RateGate(
    new RateLimiter({
      messagesPerSecond: finite(rates.messagesPerSecond),
      bytesPerSecond: finite(rates.bytesPerSecond),
    }),
  );
}
