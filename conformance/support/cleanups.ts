/** Cleanups of one test. */
export class Cleanups {
  readonly #cleanups: (() => Promise<unknown>)[] = [];

  /** Calls `cleanup` after the test. Cleanups run in reverse order. */
  defer(cleanup: () => Promise<unknown>): void {
    this.#cleanups.push(cleanup);
  }

  async dispose(): Promise<void> {
    for (const cleanup of this.#cleanups.splice(0).reverse()) await cleanup();
  }
}
