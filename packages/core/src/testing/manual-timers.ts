import type { Runtime } from "../runtime.ts";

/** A pending timer. */
interface ManualTimer {
  readonly task: () => void;
  readonly dueMs: number;
  readonly keepAlive: boolean;
}

/** A manual clock and its timers. */
export class ManualTimers {
  readonly #timers = new Set<ManualTimer>();
  #nowMs = 0;

  /** Total milliseconds advanced. */
  get nowMs(): number {
    return this.#nowMs;
  }

  /** Number of timers, and of those that keep the process running. */
  get counts(): { readonly count: number; readonly keepingAlive: number } {
    return { count: this.#timers.size, keepingAlive: [...this.#timers].filter((timer) => timer.keepAlive).length };
  }

  readonly set: Runtime["setTimer"] = (task, delayMs, keepAlive) => {
    const timer: ManualTimer = { task, dueMs: this.#nowMs + Math.max(0, delayMs), keepAlive };
    this.#timers.add(timer);
    return timer;
  };

  readonly clear: Runtime["clearTimer"] = (timer) => {
    this.#timers.delete(timer as ManualTimer);
  };

  /** Advances the clock by `ms` and yields each due timer; iterate to fire them one by one. */
  *advance(ms: number): Generator<() => void, void> {
    const endMs = this.#nowMs + ms;
    for (let next = this.#next(endMs); next !== null; next = this.#next(endMs)) {
      this.#nowMs = Math.max(this.#nowMs, next.dueMs);
      this.#timers.delete(next);
      yield next.task;
    }
    this.#nowMs = endMs;
  }

  /** Moves the clock without firing timers, as if the process were suspended. */
  standStill(ms: number): void {
    this.#nowMs += ms;
  }

  #next(endMs: number): ManualTimer | null {
    let next: ManualTimer | null = null;
    for (const timer of this.#timers) {
      if (timer.dueMs <= endMs && (next === null || timer.dueMs < next.dueMs)) next = timer;
    }
    return next;
  }
}
