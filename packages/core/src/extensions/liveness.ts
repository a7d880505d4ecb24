/**
 * Decides when to send a PING and when to consider the peer dead, from the times passed in.
 *
 * Any byte from the peer counts as activity. While this side doesn't read, the peer's silence proves nothing, so
 * `suspend` stops the timeout and `resume` restarts it. The same applies if the process itself was paused (a
 * debugger, a blocked event loop): a check that runs much later than expected grants the peer one more interval.
 *
 * A PONG doesn't identify its PING, but the stream preserves their order. One PING is measured at a time, skipping
 * the PONGs of earlier ones.
 *
 * All times are `Runtime.now` milliseconds.
 */

/** Weight of a new sample in the average, as in netconduit. */
const AVERAGE_WEIGHT = 0.3;
/** A check that is this late means that the process was paused. */
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

/** Shared by all connections without samples. */
export const NO_LATENCY: Latency = Object.freeze({ lastMs: 0, averageMs: 0, minMs: 0, maxMs: 0, samples: 0 });

/** Result of {@link Liveness.check}: do nothing, send a PING (then call `sent`), or end the connection. */
export type LivenessVerdict = "ok" | "ping" | "dead";

/** Interval and timeout, shared by all connections of a server or client. */
export interface HeartbeatSettings {
  /** Milliseconds between two PINGs. */
  readonly heartbeatIntervalMs: number;
  /** Milliseconds of silence after which the peer counts as lost. */
  readonly heartbeatTimeoutMs: number;
}

/** Heartbeat timing of one connection. */
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

  /** Time of the last activity. */
  get seenAtMs(): number {
    return this.#seenAt;
  }

  /** A PING was sent. */
  sent(now: number): void {
    this.#sentAt = Math.ceil(now);
    this.#roundTrips ??= new RoundTrips();
    // A PONG waiting unread in the socket would distort the measurement.
    this.#roundTrips.pingSent(now, !this.#suspended);
  }

  /**
   * Handles a PONG. Without a pending PING, it only counts as activity.
   * @param readingSinceMs when reading last resumed; the round trip of a PING sent before that is discarded
   */
  pongReceived(now: number, readingSinceMs: number = 0): void {
    this.activity(now);
    this.#roundTrips?.pongReceived(now, readingSinceMs);
  }

  /** Bytes arrived at this time. */
  activity(atMs: number): void {
    if (atMs > this.#seenAt) this.#seenAt = Math.ceil(atMs);
  }

  /** This side stops reading: the timeout doesn't run until `resume`. PINGs continue. */
  suspend(): void {
    this.#suspended = true;
    this.#roundTrips?.interrupt();
  }

  /** This side reads again: the timeout runs from `sinceMs`. Does nothing if it wasn't suspended. */
  resume(sinceMs: number): void {
    if (!this.#suspended) return;
    this.#suspended = false;
    this.activity(sinceMs);
  }

  /** Returns the action to take at `now`. */
  check(now: number): LivenessVerdict {
    const { heartbeatIntervalMs: intervalMs, heartbeatTimeoutMs: timeoutMs } = this.#settings;
    if (now - this.#checkedAt > 2 * intervalMs + STANDSTILL_SLACK_MS) this.activity(now - timeoutMs + intervalMs);
    this.#checkedAt = Math.ceil(now);
    if (!this.#suspended && now - this.#seenAt >= timeoutMs) return "dead";
    return now - this.#sentAt >= intervalMs ? "ping" : "ok";
  }

  /** Milliseconds from `now` to the next check whose result may differ from "ok". Not negative. */
  nextCheckMs(now: number): number {
    const pingIn = this.#sentAt + this.#settings.heartbeatIntervalMs - now;
    const deadIn = this.#suspended ? pingIn : this.#seenAt + this.#settings.heartbeatTimeoutMs - now;
    return Math.max(0, Math.min(pingIn, deadIn));
  }
}

/** Round-trip measurement of a connection. */
class RoundTrips {
  /** PINGs not answered yet. */
  #unanswered = 0;
  /** Time of the PING being measured, and number of PONGs before its own. */
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

  /** Discards the current measurement. */
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
