interface Offer {
  readonly item: unknown;
  /** Called when the reader has processed the item. */
  taken(): void;
}

interface Reader {
  resolve(result: IteratorResult<unknown>): void;
  reject(error: Error): void;
}

/** Turns items that arrive one at a time, in separate calls or messages, into the stream that a folder reads. */
export class ItemChannel implements AsyncIterableIterator<unknown> {
  #offered: Offer | null = null;
  /** The item being processed by the reader. */
  #read: Offer | null = null;
  #reader: Reader | null = null;
  #failure: Error | null = null;
  #isOver = false;
  #open: () => void = () => undefined;
  /** Resolves when reading starts. */
  readonly opened: Promise<void> = new Promise((resolve) => {
    this.#open = resolve;
  });

  /** Adds an item. Resolves when the reader has processed it or has stopped, so that the next one may follow. */
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

  /** Ends the stream. */
  end(): void {
    this.#isOver = true;
    this.#serve();
  }

  /** Makes reading reject. */
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

  /** The reader stops. */
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
