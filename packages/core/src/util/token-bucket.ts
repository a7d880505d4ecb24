/** Rate limit of one connection: a token bucket for messages and one for bytes. */
import { ConduitError, ErrorCode } from "../errors.ts";

/** Seconds of refilling that rounding may lose: a shorter wait is none. */
const ROUNDING = 1e-6;

/** Limits; one left out does not apply. */
export interface RateLimits {
  /** Messages per second, above 0. */
  readonly messagesPerSecond?: number | undefined;
  /** Payload bytes per second, above 0. */
  readonly bytesPerSecond?: number | undefined;
}

/** One bucket. Full, it holds a second's worth, at least one token. */
class Bucket {
  readonly perSecond: number;
  readonly capacity: number;
  /** Negative after a message larger than the bucket. */
  tokens: number;

  constructor(option: string, perSecond: number) {
    if (!(perSecond > 0 && perSecond < Number.POSITIVE_INFINITY)) {
      throw new ConduitError(ErrorCode.INVALID_CONFIG, `${option} must be a number above 0, got ${perSecond}`);
    }
    this.perSecond = perSecond;
    this.capacity = Math.max(1, perSecond);
    this.tokens = this.capacity;
  }

  refill(seconds: number): void {
    this.tokens = Math.min(this.capacity, this.tokens + seconds * this.perSecond);
  }

  /** Seconds until `count` tokens may be taken; a count above the capacity waits for a full bucket. */
  wait(count: number): number {
    const seconds = (Math.min(count, this.capacity) - this.tokens) / this.perSecond;
    return seconds <= ROUNDING ? 0 : seconds;
  }
}

/**
 * Limits what one peer sends. Idle for a second, it may send a second's worth at once.
 *
 * A message larger than `bytesPerSecond` would never fit. It passes when the bucket is full and leaves it in debt, so
 * that the rate holds on average and the next message waits until the debt is paid.
 */
export class RateLimiter {
  readonly #messages: Bucket | null;
  readonly #bytes: Bucket | null;
  #refilledAt: number = Number.NEGATIVE_INFINITY;

  /** @throws ConduitError INVALID_CONFIG for a limit that is not a finite number above 0. */
  constructor(limits: RateLimits) {
    const { messagesPerSecond, bytesPerSecond } = limits;
    this.#messages = messagesPerSecond === undefined ? null : new Bucket("messagesPerSecond", messagesPerSecond);
    this.#bytes = bytesPerSecond === undefined ? null : new Bucket("bytesPerSecond", bytesPerSecond);
  }

  /**
   * Asks for one message of `bytes` bytes at `now` (`Runtime.now` milliseconds).
   * @returns 0: allowed, and taken. Otherwise the seconds, in whole milliseconds, after which the same message passes
   *   if nothing else is taken meanwhile (`retry_after`); nothing was taken.
   */
  take(now: number, bytes: number): number {
    const messagesLeft = this.#messages;
    const bytesLeft = this.#bytes;
    if (now > this.#refilledAt) {
      const seconds = (now - this.#refilledAt) / 1000;
      this.#refilledAt = now;
      messagesLeft?.refill(seconds);
      bytesLeft?.refill(seconds);
    }
    const wait = Math.max(messagesLeft?.wait(1) ?? 0, bytesLeft?.wait(bytes) ?? 0);
    if (wait > 0) return Math.ceil((wait - ROUNDING / 10) * 1000) / 1000;
    if (messagesLeft !== null) messagesLeft.tokens -= 1;
    if (bytesLeft !== null) bytesLeft.tokens -= bytes;
    return 0;
  }
}
