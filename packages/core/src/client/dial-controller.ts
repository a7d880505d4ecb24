import type { DialSignal } from "../runtime.ts";

/** Shared by all controllers without listeners. */
const NONE: readonly never[] = [];

/**
 * Aborts one connection attempt. It doubles as the signal passed to the runtime, because an `AbortController` with its
 * signal and a listener takes half a kilobyte per attempt.
 */
export class DialController implements DialSignal {
  #reason: Error | null = null;
  #listeners: readonly (() => void)[] = NONE;
  #interrupt: ((reason: unknown) => void) | null = null;

  get aborted(): boolean {
    return this.#reason !== null;
  }

  get reason(): unknown {
    return this.#reason ?? undefined;
  }

  addEventListener(_type: "abort", listener: () => void): void {
    this.#listeners = [...this.#listeners, listener];
  }

  removeEventListener(_type: "abort", listener: () => void): void {
    const others = this.#listeners.filter((other) => other !== listener);
    this.#listeners = others.length === 0 ? NONE : others;
  }

  /** Aborts the attempt. Only the first reason counts. */
  abort(reason: Error): void {
    if (this.#reason !== null) return;
    this.#reason = reason;
    try {
      for (const listener of this.#listeners) listener();
    } finally {
      this.#interrupt?.(reason);
    }
  }

  throwIfAborted(): void {
    if (this.#reason !== null) throw this.#reason;
  }

  /** Settles as `start` does, or rejects with the reason if an abort comes first. Supports one wait at a time. */
  wait<T>(start: (resolve: (value: T | PromiseLike<T>) => void, reject: (error: unknown) => void) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#interrupt = reject;
      // The abort may have happened before this wait.
      if (this.#reason !== null) reject(this.#reason);
      start(resolve, reject);
    });
  }

  /** Settles as `work` does, or rejects with the reason if an abort comes first. Supports one wait at a time. */
  race<T>(work: Promise<T>): Promise<T> {
    return this.wait((resolve, reject) => void work.then(resolve, reject));
  }
}
