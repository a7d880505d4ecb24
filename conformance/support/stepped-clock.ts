import type { Runtime } from "@netconduit/core/adapter";
import { ManualTimers } from "../../packages/core/src/testing/manual-timers.ts";

/**
 * A runtime on which time stands still until the test moves it: timers and both clocks are the test's, sockets and
 * cryptography the runtime's own. So a timeout of a minute is tested at once, and a short one cannot fire by accident.
 */
export class SteppedClock {
  readonly runtime: Runtime;
  /** Every delay that was asked for, in milliseconds. */
  readonly delays: number[] = [];
  /** Added to the wall clock alone, as if someone had set it. */
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

  /** Lets `ms` milliseconds pass: fires what comes due, each timer at its own time. */
  advance(ms: number): void {
    for (const fire of this.#timers.advance(ms)) fire();
  }
}
