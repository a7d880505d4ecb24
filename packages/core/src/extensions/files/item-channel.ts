interface Offer {
  readonly item: unknown;
  /** The reader has done with it. */
  taken(): void;
}

interface Reader {
  resolve(result: IteratorResult<unknown>): void;
  reject(error: Error): void;
}

/** Items that arrive by calls or messages of their own, one at a time, as the stream that a folder reads. */
export class ItemChannel implements AsyncIterableIterator<unknown> {
  #offered: Offer | null = null;
  /** The reader works on it. */
  #read: Offer | null = null;
  #reader: Reader | null = null;
  #failure: Error | null = null;
  #isOver = false;
  #open: () => void = () => undefined;
  /** Resolves when it is read for the first time. */
  readonly opened: Promise<void> = new Promise((resolve) => {
    this.#open = resolve;
  });

  /** Resolves when the reader has done with the item, or reads no more. The next one may follow then. */
  put(item: unknown): Promise<void> {
    return new Promise((taken) => {
      if (this.#isOver) {
        taken();
        return;
      }
      this.#offered = { item, taken };
      this.#serve();
    });
  }

  /** No item follows. */
  end(): void {
    this.#isOver = true;
    this.#serve();
  }

  /** Reading rejects from now on. */
  fail(error: Error): void {
    this.#failure ??= error;
    this.#serve();
  }

  next(): Promise<IteratorResult<unknown>> {
    this.#open();
    this.#read?.taken();
    this.#read = null;
    return new Promise((resolve, reject) => {
      this.#reader = { resolve, reject };
      this.#serve();
    });
  }

  /** The reader wants no more. */
  async return(): Promise<IteratorResult<unknown>> {
    for (const offer of [this.#read, this.#offered]) offer?.taken();
    this.#read = null;
    this.#offered = null;
    this.end();
    return { done: true, value: undefined };
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #serve(): void {
    const reader = this.#reader;
    const offered = this.#offered;
    if (reader === null) return;
    if (this.#failure !== null) {
      reader.reject(this.#failure);
    } else if (offered !== null) {
      this.#offered = null;
      this.#read = offered;
      reader.resolve({ done: false, value: offered.item });
    } else if (this.#isOver) {
      reader.resolve({ done: true, value: undefined });
    } else {
      return;
    }
    this.#reader = null;
  }
}
