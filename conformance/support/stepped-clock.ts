import type { Runtime } from "@netconduit/core/adapter";
import { ManualTimers } from "../../packages/core/src/testing/manual-timers.ts";

/**
 * A runtime whose timers and clocks are controlled by the test, while sockets and cryptography are the real
 * runtime's. A test doesn't wait for a timeout of a minute, and a short timeout can't fire by accident.
 */
export class SteppedClock {
  readonly runtime: Runtime;
  /** Delays of all timers set so far, in milliseconds. */
  readonly delays: number[] = [];
  /** Added only to the wall clock, as if it had been set. */
  wallClockJumpMs = 0;
  readonly #timers = new ManualTimers();

  constructor(base: Runtime, overrides: Partial<Runtime> = {}) {
    const startMs = base.now();
    const wallStartMs = base.wallClock();
    this.runtime = {
      ...base,
      now: () => startMs + this.#timers.nowMs,
      wallClock: () => wallStartMs + Math.floor(this.#timers.nowMs) + this.wallClockJumpMs,
      setTimer: (task, delayMs, keepAlive) => {
        this.delays.push(delayMs);
        return this.#timers.set(task, delayMs, keepAlive);
      },
      clearTimer: this.#timers.clear,
      ...overrides,
    };
  }

  /** Advances the time by `ms` milliseconds and fires the timers that come due, each at its own time. */
  advance(ms: number): void {
    for (const fire of this.#timers.advance(ms)) fire();
  }
}
