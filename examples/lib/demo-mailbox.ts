/** What has been heard and what is still to be: either may come first. */
export class Mailbox<T> {
  readonly #heard = new Map<string, T[]>();
  readonly #waiting = new Map<string, ((value: T) => void)[]>();

  /** Hands `value` to whoever has waited longest under `key`, or keeps it for the next. */
  put(key: string, value: T): void {
    const taker = this.#waiting.get(key)?.shift();
    if (taker !== undefined) taker(value);
    else this.#heard.set(key, [...(this.#heard.get(key) ?? []), value]);
  }

  /** The next value under `key`. */
  next(key: string): Promise<T> {
    const value = this.#heard.get(key)?.shift();
    if (value !== undefined) return Promise.resolve(value);
    return new Promise((resolve) => {
      this.#waiting.set(key, [...(this.#waiting.get(key) ?? []), resolve]);
    });
  }

  /** Values that nobody has taken. */
  get left(): number {
    return [...this.#heard.values()].reduce((sum, values) => sum + values.length, 0);
  }
}
