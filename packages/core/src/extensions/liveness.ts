/**
 * When to send a PING, and when to give up on the peer: timekeeping alone, driven by times that are handed in.
 *
 * Every byte from the peer is a sign of life, a PONG no more than any other. While this side does not read, the peer's
 * signs of life wait in the socket, so its silence proves nothing: `suspend` stops that clock and `resume` starts it
 * anew. The same holds while the whole process stood still (a debugger, a blocked event loop): a check that comes long
 * after the one before it grants the peer one more interval.
 *
 * A PONG says nothing about which PING it answers, but a stream keeps their order. So one PING is measured at a time,
 * and the PONGs of those sent before it are counted past.
 *
 * All times are `Runtime.now` milliseconds.
 */

/** Weight of a new sample in the average, as netconduit has it. */
const AVERAGE_WEIGHT = 0.3;
/** How much later than expected a check may come before it counts as a standstill of this process. */
const STANDSTILL_SLACK_MS = 1000;

/** Round-trip times. All zero before the first sample. */
export interface Latency {
  readonly lastMs: number;
  /** Exponential moving average; a new sample weighs 0.3. */
  readonly averageMs: number;
  readonly minMs: number;
  readonly maxMs: number;
  readonly samples: number;
}

/** One for all connections that have not measured any. */
export const NO_LATENCY: Latency = Object.freeze({ lastMs: 0, averageMs: 0, minMs: 0, maxMs: 0, samples: 0 });

/** {@link Liveness.check} asks for nothing, a PING (then call `sent`), or the end of the connection. */
export type LivenessVerdict = "ok" | "ping" | "dead";

/** How often, and how long: of all connections of one server or client. */
export interface HeartbeatSettings {
  /** From one PING to the next. */
  readonly heartbeatIntervalMs: number;
  /** Silence after which the peer is given up. */
  readonly heartbeatTimeoutMs: number;
}

/** The timekeeping of one connection's heartbeat. */
export class Liveness {
  readonly #settings: HeartbeatSettings;
  #sentAt: number;
  #seenAt: number;
  #checkedAt: number;
  #suspended = false;
  /** Null before the first PING. */
  #roundTrips: RoundTrips | null = null;

  /** The first PING is due one interval after `now`. */
  constructor(settings: HeartbeatSettings, now: number) {
    this.#settings = settings;
    this.#sentAt = Math.ceil(now);
    this.#seenAt = Math.ceil(now);
    this.#checkedAt = Math.ceil(now);
  }

  /** Round-trip times so far; a new object with each sample. */
  get latency(): Latency {
    return this.#roundTrips === null ? NO_LATENCY : this.#roundTrips.latency;
  }

  /** A PING was sent. */
  sent(now: number): void {
    this.#sentAt = Math.ceil(now);
    this.#roundTrips ??= new RoundTrips();
    // What waits unread in the socket is not the peer's latency.
    this.#roundTrips.pingSent(now, !this.#suspended);
  }

  /**
   * A PONG arrived. One that no PING asked for is a sign of life and no more.
   * @param readingSinceMs when reading last began again: a PING sent before that may have waited unread, and its round
   *   trip says nothing
   */
  pongReceived(now: number, readingSinceMs: number = 0): void {
    this.activity(now);
    this.#roundTrips?.pongReceived(now, readingSinceMs);
  }

  /** Bytes arrived, at that time. */
  activity(atMs: number): void {
    if (atMs > this.#seenAt) this.#seenAt = Math.ceil(atMs);
  }

  /** This side stops reading: until `resume` the peer cannot be found dead. PINGs go on. */
  suspend(): void {
    this.#suspended = true;
    this.#roundTrips?.interrupt();
  }

  /** This side reads again; the peer's silence counts from `sinceMs`. Does nothing if it was not suspended. */
  resume(sinceMs: number): void {
    if (!this.#suspended) return;
    this.#suspended = false;
    this.activity(sinceMs);
  }

  /** What is to be done at `now`. */
  check(now: number): LivenessVerdict {
    const { heartbeatIntervalMs: intervalMs, heartbeatTimeoutMs: timeoutMs } = this.#settings;
    if (now - this.#checkedAt > 2 * intervalMs + STANDSTILL_SLACK_MS) this.activity(now - timeoutMs + intervalMs);
    this.#checkedAt = Math.ceil(now);
    if (!this.#suspended && now - this.#seenAt >= timeoutMs) return "dead";
    return now - this.#sentAt >= intervalMs ? "ping" : "ok";
  }

  /** Milliseconds from `now` to the next check that can have another answer than "ok". Not negative. */
  nextCheckMs(now: number): number {
    const pingIn = this.#sentAt + this.#settings.heartbeatIntervalMs - now;
    const deadIn = this.#suspended ? pingIn : this.#seenAt + this.#settings.heartbeatTimeoutMs - now;
    return Math.max(0, Math.min(pingIn, deadIn));
  }
}

/** What a connection's PINGs and PONGs took. */
class RoundTrips {
  /** PINGs not answered yet. */
  #unanswered = 0;
  /** When the PING that is being measured was sent, and how many PONGs come before its own. */
  #measuredAt = 0;
  #measuredBehind = 0;
  #measuring = false;
  latency: Latency = NO_LATENCY;

  pingSent(now: number, mayMeasure: boolean): void {
    if (!this.#measuring && mayMeasure) {
      this.#measuring = true;
      this.#measuredAt = now;
      this.#measuredBehind = this.#unanswered;
    }
    this.#unanswered++;
  }

  pongReceived(now: number, readingSinceMs: number): void {
    if (this.#unanswered === 0) return;
    this.#unanswered--;
    if (!this.#measuring) return;
    if (this.#measuredBehind > 0) {
      this.#measuredBehind--;
      return;
    }
    this.#measuring = false;
    if (readingSinceMs <= this.#measuredAt) this.#sample(now - this.#measuredAt);
  }

  /** What is being measured will say nothing. */
  interrupt(): void {
    this.#measuring = false;
  }

  #sample(ms: number): void {
    const { averageMs, minMs, maxMs, samples } = this.latency;
    const first = samples === 0;
    this.latency = Object.freeze({
      lastMs: ms,
      averageMs: first ? ms : AVERAGE_WEIGHT * ms + (1 - AVERAGE_WEIGHT) * averageMs,
      minMs: first ? ms : Math.min(minMs, ms),
      maxMs: Math.max(maxMs, ms),
      samples: samples + 1,
    });
  }
}
