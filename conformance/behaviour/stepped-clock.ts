import type { Runtime } from "@netconduit/core/adapter";

interface Timer {
  readonly dueMs: number;
  readonly task: () => void;
}

/**
 * A runtime on which time stands still until the test moves it: timers and both clocks are the test's, sockets and
 * cryptography the runtime's own. So a timeout of a minute is tested at once, and a short one cannot fire by accident.
 */
export class SteppedClock {
  readonly runtime: Runtime;
  /** Every delay that was asked for, in milliseconds. */
  readonly delays: number[] = [];
  /** Added to the wall clock alone: somebody set the clock. */
  wallClockJumpMs = 0;
  #elapsedMs = 0;
  readonly #timers = new Set<Timer>();

  constructor(base: Runtime, overrides: Partial<Runtime> = {}) {
    const startMs = base.now();
    const wallStartMs = base.wallClock();
    this.runtime = {
      ...base,
      now: () => startMs + this.#elapsedMs,
      wallClock: () => wallStartMs + Math.floor(this.#elapsedMs) + this.wallClockJumpMs,
      setTimer: (task, delayMs) => {
        this.delays.push(delayMs);
        const timer: Timer = { dueMs: this.#elapsedMs + delayMs, task };
        this.#timers.add(timer);
        return timer;
      },
      clearTimer: (timer) => void this.#timers.delete(timer as Timer),
      ...overrides,
    };
  }

  /** Lets `ms` milliseconds pass: fires what comes due, each timer at its own time. */
  advance(ms: number): void {
    const endMs = this.#elapsedMs + ms;
    for (;;) {
      let next: Timer | null = null;
      for (const timer of this.#timers) {
        if (timer.dueMs <= endMs && (next === null || timer.dueMs < next.dueMs)) next = timer;
      }
      if (next === null) break;
      this.#timers.delete(next);
      this.#elapsedMs = Math.max(this.#elapsedMs, next.dueMs);
      next.task();
    }
    this.#elapsedMs = endMs;
  }
}
