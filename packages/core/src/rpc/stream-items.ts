import type { ItemStream } from "./request-streams.ts";

type Items = AsyncIterableIterator<unknown, undefined>;

/** The application's view of items from the other side. */
export class StreamItems implements ItemStream<unknown> {
  readonly #items: Items;
  #readable: ReadableStream<unknown> | null = null;

  constructor(items: Items) {
    this.#items = items;
  }

  get readable(): ReadableStream<unknown> {
    this.#readable ??= readableOf(this.#items);
    return this.#readable;
  }

  next(): Promise<IteratorResult<unknown, undefined>> {
    return this.#items.next();
  }

  /** Ends the stream and asks the other side to stop. */
  async return(): Promise<IteratorResult<unknown, undefined>> {
    await this.#items.return?.();
    return { done: true, value: undefined };
  }

  async throw(error: unknown): Promise<IteratorResult<unknown, undefined>> {
    await this.return();
    throw error;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** A web stream of the same items, which pulls one item per read. */
function readableOf(items: Items): ReadableStream<unknown> {
  return new ReadableStream(
    {
      async pull(controller) {
        const { done, value } = await items.next();
        if (done === true) controller.close();
        else controller.enqueue(value);
      },
      async cancel() {
        await items.return?.();
      },
    },
    { highWaterMark: 0 },
  );
}

/** The empty input of a call without one. */
export function noItems(): ItemStream<unknown> {
  return new StreamItems(nothing());
}

async function* nothing(): AsyncGenerator<unknown, undefined> {
  yield* [];
}
