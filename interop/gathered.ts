/** Collects values in order, with promises for the first ones. */
export class Gathered<T = unknown> {
  readonly items: T[] = [];
  #waiters: { readonly count: number; resolve(items: T[]): void }[] = [];

  /** Adds a value. Pass it as a handler. */
  readonly add = (item: T): void => {
    this.items.push(item);
    const due = this.#waiters.filter(({ count }) => count <= this.items.length);
    this.#waiters = this.#waiters.filter((waiter) => !due.includes(waiter));
    for (const { resolve } of due) resolve(this.items);
  };

  /** Resolves with all items once there are `count`. */
  atLeast(count: number): Promise<T[]> {
    if (this.items.length >= count) return Promise.resolve(this.items);
    return new Promise((resolve) => {
      this.#waiters.push({ count, resolve });
    });
  }

  /** The first item. */
  async first(): Promise<T> {
    return (await this.atLeast(1))[0] as T;
  }
}
