import type { DialSignal } from "../runtime.ts";

/** Of those that nobody listens to. */
const NONE: readonly never[] = [];

/**
 * One attempt to connect, which can be called off. It is the runtime's signal itself: an `AbortController`, its signal
 * and a listener on that cost each attempt half a kilobyte. What waits here is told directly.
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

  /** Calls it off; the first reason counts. */
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

  /** What `start` settles the promise with, or a rejection with the reason of an abort that comes first. One at a time. */
  wait<T>(start: (resolve: (value: T | PromiseLike<T>) => void, reject: (error: unknown) => void) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#interrupt = reject;
      // By what led to this wait, perhaps.
      if (this.#reason !== null) reject(this.#reason);
      start(resolve, reject);
    });
  }

  /** What `work` comes to, or a rejection with the reason of an abort that comes first. One at a time. */
  race<T>(work: Promise<T>): Promise<T> {
    return this.wait((resolve, reject) => void work.then(resolve, reject));
  }
}
