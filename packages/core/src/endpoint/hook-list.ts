/** Of all lists that hold none. */
const NONE: readonly never[] = [];

/** A list of hooks of one kind. Each may be asynchronous; one that fails is reported and does not stop the others. */
export class HookList<Args extends readonly unknown[]> {
  /** Boxed, so that a function added twice is two hooks, each with its own remover. */
  #hooks: readonly { readonly hook: (...args: Args) => unknown }[] = NONE;

  get isEmpty(): boolean {
    return this.#hooks.length === 0;
  }

  /** @returns a function that removes the hook. */
  add(hook: (...args: Args) => unknown): () => void {
    const entry = { hook };
    this.#hooks = [...this.#hooks, entry];
    return () => {
      this.#hooks = this.#hooks.filter((other) => other !== entry);
    };
  }

  /** Runs the hooks one after the other. Never rejects. */
  async run(onError: (error: unknown) => void, ...args: Args): Promise<void> {
    for (const { hook } of this.#hooks) {
      try {
        await hook(...args);
      } catch (error) {
        onError(error);
      }
    }
  }

  /** Runs the hooks one after the other; the first that fails stops them. */
  async runStrict(...args: Args): Promise<void> {
    for (const { hook } of this.#hooks) await hook(...args);
  }

  /** Starts every hook without waiting; what they return or throw is only looked at for errors. */
  notify(onError: (error: unknown) => void, ...args: Args): void {
    for (const { hook } of this.#hooks) {
      try {
        const result = hook(...args);
        if (result instanceof Promise) result.catch(onError);
      } catch (error) {
        onError(error);
      }
    }
  }
}
