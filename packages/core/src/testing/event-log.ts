/** Records events in order, with promises for the next ones. */
export class EventLog<T> {
  readonly all: T[] = [];
  #taken = 0;
  readonly #waiting = new Set<() => void>();

  /** Bound, so that it can be passed as a hook or handler. */
  readonly add = (item: T): void => {
    this.all.push(item);
    for (const wake of [...this.#waiting]) wake();
  };

  /** Resolves with the first item that no `next` has returned yet. */
  async next(): Promise<T> {
    const index = this.#taken++;
    await this.count(index + 1);
    return this.all[index] as T;
  }

  /** Resolves with all items once there are `count` or more. */
  async count(count: number): Promise<readonly T[]> {
    while (this.all.length < count) {
      await new Promise<void>((resolve) => {
        const wake = (): void => {
          this.#waiting.delete(wake);
          resolve();
        };
        this.#waiting.add(wake);
      });
    }
    return this.all;
  }
}
