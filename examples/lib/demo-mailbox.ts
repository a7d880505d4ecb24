/** Matches received values with readers by key; either may come first. */
export class Mailbox<T> {
  readonly #received = new Map<string, T[]>();
  readonly #waiting = new Map<string, ((value: T) => void)[]>();

  /** Passes `value` to the first reader waiting for `key`, or keeps it for the next one. */
  put(key: string, value: T): void {
    const reader = this.#waiting.get(key)?.shift();
    if (reader !== undefined) reader(value);
    else this.#received.set(key, [...(this.#received.get(key) ?? []), value]);
  }

  /** Resolves with the next value for `key`. */
  next(key: string): Promise<T> {
    const value = this.#received.get(key)?.shift();
    if (value !== undefined) return Promise.resolve(value);
    return new Promise((resolve) => {
      this.#waiting.set(key, [...(this.#waiting.get(key) ?? []), resolve]);
    });
  }

  /** Number of values that no reader has taken. */
  get left(): number {
    return [...this.#received.values()].reduce((sum, values) => sum + values.length, 0);
  }
}
