/** The rate limit of one connection: one token bucket for messages and one for bytes. */
import { ConduitError, ErrorCode } from "../errors.ts";

/** Waits shorter than this many seconds count as zero, because of rounding. */
const ROUNDING = 1e-6;

/** Limits; a missing one doesn't apply. */
export interface RateLimits {
  /** Messages per second, above 0. */
  readonly messagesPerSecond?: number | undefined;
  /** Payload bytes per second, above 0. */
  readonly bytesPerSecond?: number | undefined;
}

/** A token bucket. Its capacity is one second's worth, at least one token. */
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
    if (this.tokens >= this.capacity) return;
    this.tokens = Math.min(this.capacity, this.tokens + seconds * this.perSecond);
  }

  /** May exceed the capacity, by so many seconds' worth. */
  allow(seconds: number): void {
    const more = seconds * this.perSecond;
    this.tokens = Math.max(this.tokens, Math.min(this.tokens, this.capacity) + more);
  }

  /** Returns the seconds until `count` tokens may be taken; a count above the capacity waits for a full bucket. */
  wait(count: number): number {
    const seconds = (Math.min(count, this.capacity) - this.tokens) / this.perSecond;
    return seconds <= ROUNDING ? 0 : seconds;
  }
}

/**
 * Limits what one peer sends. After an idle second, it may send a full second's worth at once.
 *
 * A message larger than `bytesPerSecond` passes when the bucket is full and leaves it with a negative balance. The next
 * message waits until that is refilled, so the rate holds on average.
 */
export class RateLimiter {
  readonly #messages: Bucket | null;
  readonly #bytes: Bucket | null;
  #refilledAt: number = Number.NEGATIVE_INFINITY;

  /** @throws ConduitError INVALID_CONFIG if a limit isn't a finite number above 0. */
  constructor(limits: RateLimits) {
    const { messagesPerSecond, bytesPerSecond } = limits;
    this.#messages = messagesPerSecond === undefined ? null : new Bucket("messagesPerSecond", messagesPerSecond);
    this.#bytes = bytesPerSecond === undefined ? null : new Bucket("bytesPerSecond", bytesPerSecond);
  }

  /**
   * Takes the tokens for one message of `bytes` bytes at `now` (`Runtime.now` milliseconds), if available.
   * @returns 0 if the message may pass. Otherwise no tokens were taken, and the result is the number of seconds,
   *   rounded up to milliseconds, until the same message would pass (`retry_after`).
   */
  take(now: number, bytes: number): number {
    this.#refill(now);
    const wait = this.#wait(bytes);
    if (wait === 0) this.#pay(bytes);
    return wait;
  }

  /** Takes the tokens for one message whether they are there or not. Returns as `take` does for the next message. */
  overdraw(bytes: number): number {
    this.#pay(bytes);
    return this.#wait(bytes);
  }

  /**
   * The peer could send nothing between these times, and sends now what waited: that much may pass at once, beside the rest.
   * Time that was refilled for already doesn't count again: messages may have waited here, too.
   */
  allow(sinceMs: number, now: number): void {
    this.#refill(sinceMs);
    const seconds = Math.max(0, now - this.#refilledAt) / 1000;
    this.#refilledAt = Math.max(this.#refilledAt, now);
    this.#messages?.allow(seconds);
    this.#bytes?.allow(seconds);
  }

  /** Takes more bytes for a message that has passed, whether they are there or not. */
  overdrawBytes(bytes: number): void {
    if (this.#bytes !== null) this.#bytes.tokens -= bytes;
  }

  #refill(now: number): void {
    if (now <= this.#refilledAt) return;
    const seconds = (now - this.#refilledAt) / 1000;
    this.#refilledAt = now;
    this.#messages?.refill(seconds);
    this.#bytes?.refill(seconds);
  }

  #wait(bytes: number): number {
    const wait = Math.max(this.#messages?.wait(1) ?? 0, this.#bytes?.wait(bytes) ?? 0);
    return wait === 0 ? 0 : Math.ceil((wait - ROUNDING / 10) * 1000) / 1000;
  }

  #pay(bytes: number): void {
    if (this.#messages !== null) this.#messages.tokens -= 1;
    if (this.#bytes !== null) this.#bytes.tokens -= bytes;
  }
}
