/** Cleanups of one test. */
export class Cleanups {
  readonly #cleanups: (() => Promise<unknown>)[] = [];

  /** Calls `cleanup` when the test is over, ahead of those that were deferred earlier. */
  defer(cleanup: () => Promise<unknown>): void {
    this.#cleanups.push(cleanup);
  }

  async dispose(): Promise<void> {
    for (const cleanup of this.#cleanups.splice(0).reverse()) await cleanup();
  }
}
