import type { Clock } from "./clock.ts";
import { TimerEntry, type TimerWheel } from "./timer-wheel.ts";

/** A timer of the wheel that calls a function. */
export class CallbackTimer extends TimerEntry {
  readonly #callback: () => void;

  constructor(callback: () => void) {
    super();
    this.#callback = callback;
  }

  override onTimer(): void {
    this.#callback();
  }
}

/** Delay of a timer from which this process counts as having been stopped. */
const STANDSTILL_MS = 1000;
/** A wait is taken in so many steps. Each is at least a second, and so much is left after a standstill. */
const STEPS = 10;
const LEAST_STEP_MS = 1000;

/**
 * Calls a function when this process has run for a time. While it is stopped, whatever it waits for can't reach it, so that
 * doesn't count.
 */
export class RunningTimer extends TimerEntry {
  readonly #wheel: TimerWheel;
  readonly #clock: Pick<Clock, "now">;
  readonly #callback: () => void;
  #leftMs = 0;
  #longestMs = 0;
  #stepMs = 0;
  #steppedAt = 0;

  constructor(wheel: TimerWheel, clock: Pick<Clock, "now">, callback: () => void) {
    super();
    this.#wheel = wheel;
    this.#clock = clock;
    this.#callback = callback;
  }

  start(delayMs: number): void {
    this.#leftMs = delayMs;
    this.#longestMs = Math.max(LEAST_STEP_MS, delayMs / STEPS);
    this.#step();
  }

  stop(): void {
    this.#wheel.cancel(this);
  }

  #step(): void {
    this.#steppedAt = this.#clock.now();
    this.#stepMs = Math.min(this.#leftMs, this.#longestMs);
    this.#wheel.schedule(this, this.#stepMs, this.#steppedAt);
  }

  override onTimer(): void {
    const elapsedMs = this.#clock.now() - this.#steppedAt;
    const hasStopped = elapsedMs > this.#stepMs + STANDSTILL_MS;
    // After a standstill, whatever waits for this process is read first.
    this.#leftMs = hasStopped ? Math.max(LEAST_STEP_MS, this.#leftMs - this.#stepMs) : this.#leftMs - elapsedMs;
    if (this.#leftMs > 0) this.#step();
    else this.#callback();
  }
}

/** A deadline shared by several waits. Its timer keeps the process running. */
export interface Deadline {
  /** Resolves when `work` settles or the deadline passes, whichever comes first. Never rejects. */
  race(work: Promise<unknown>): Promise<void>;
  /** Moves the deadline to at most `delayMs` from now. */
  shorten(delayMs: number): void;
  /** Milliseconds left, rounded up; 0 once it has passed. */
  readonly leftMs: number;
  cancel(): void;
}

export function withDeadline(clock: Clock, delayMs: number): Deadline {
  let passed = false;
  let wake: (() => void) | null = null;
  const pass = (): void => {
    passed = true;
    wake?.();
  };
  let endsAt = clock.now() + delayMs;
  let timer = clock.setTimer(pass, delayMs, true);
  return {
    race: (work) =>
      new Promise((resolve) => {
        if (passed) {
          resolve();
          return;
        }
        wake = resolve;
        work.then(
          () => resolve(),
          () => resolve(),
        );
      }),
    shorten: (nextMs) => {
      if (passed || clock.now() + nextMs >= endsAt) return;
      endsAt = clock.now() + nextMs;
      clock.clearTimer(timer);
      timer = clock.setTimer(pass, nextMs, true);
    },
    get leftMs(): number {
      return passed ? 0 : Math.max(0, Math.ceil(endsAt - clock.now()));
    },
    cancel: () => {
      passed = true;
      clock.clearTimer(timer);
    },
  };
}
