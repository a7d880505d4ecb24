/** Longest delay that all runtimes' timers support, about 24.8 days; a longer one would fire immediately. */
export const MAX_TIMER_MS: number = 2 ** 31 - 1;

/** A timer of the runtime. */
export type TimerHandle = unknown;

/** A runtime's clock and timers. */
export interface Clock {
  /** Monotonic milliseconds, fractional. */
  now(): number;
  /** Starts a one-shot timer. If `keepAlive` is false, it doesn't keep the process running. */
  setTimer(task: () => void, delayMs: number, keepAlive: boolean): TimerHandle;
  clearTimer(handle: TimerHandle): void;
}
