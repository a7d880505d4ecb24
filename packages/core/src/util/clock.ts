/** A timer of the runtime. */
export type TimerHandle = unknown;

/** Time and timers, as a runtime has them. */
export interface Clock {
  /** Monotonic milliseconds, fractional. */
  now(): number;
  /** One-shot timer. `keepAlive` false: it does not keep the process running. */
  setTimer(task: () => void, delayMs: number, keepAlive: boolean): TimerHandle;
  clearTimer(handle: TimerHandle): void;
}
