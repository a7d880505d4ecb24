/**
 * One attempt to connect, which can be called off. The signal is for the runtime; what waits here is told directly,
 * because a listener on a signal costs each attempt more than the wait itself.
 */
export class DialAbort {
  readonly #controller = new AbortController();
  #interrupt: ((reason: unknown) => void) | null = null;

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Calls it off; the first reason counts. */
  abort(reason: Error): void {
    if (this.signal.aborted) return;
    this.#controller.abort(reason);
    this.#interrupt?.(reason);
  }

  /** What `start` settles the promise with, or a rejection with the reason of an abort that comes first. One at a time. */
  wait<T>(start: (resolve: (value: T | PromiseLike<T>) => void, reject: (error: unknown) => void) => void): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#interrupt = reject;
      // By what led to this wait, perhaps.
      if (this.signal.aborted) reject(this.signal.reason);
      start(resolve, reject);
    });
  }

  /** What `work` comes to, or a rejection with the reason of an abort that comes first. One at a time. */
  race<T>(work: Promise<T>): Promise<T> {
    return this.wait((resolve, reject) => void work.then(resolve, reject));
  }
}
