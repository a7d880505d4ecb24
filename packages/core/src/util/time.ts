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

/** The outcome of work that took longer than it may. */
export const LATE: unique symbol = Symbol("late");

/** Settles as `work` does, or resolves with {@link LATE} after `delayMs`. Nothing stops the work. */
export function within<T>(wheel: TimerWheel, work: Promise<T>, delayMs: number): Promise<T | typeof LATE> {
  return new Promise((resolve, reject) => {
    const timer = new CallbackTimer(() => resolve(LATE));
    wheel.schedule(timer, delayMs);
    work.then(resolve, reject).finally(() => wheel.cancel(timer));
  });
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
