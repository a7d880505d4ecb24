/** The streams of calls, for the dispatcher and applications. The extension `stream` implements them. */

import type { StreamKeys } from "../wire/stream-keys.ts";
import type { Validator } from "./validation.ts";

/** A source of items: an async iterable (such as an `async function*` returns), an iterable, or a web stream. */
export type StreamSource<T> = AsyncIterable<T> | Iterable<T> | ReadableStream<T>;

/** Items from the other side, in order. Can be read once. */
export interface ItemStream<T> extends AsyncIterableIterator<T, undefined> {
  /** The items as a web stream. Read either this or the iterator. */
  readonly readable: ReadableStream<T>;
  /** Ends the stream and asks the other side to stop. */
  return(): Promise<IteratorResult<T, undefined>>;
}

/** The streams of a peer's request. */
export interface RequestStreams {
  readonly keys: StreamKeys;
  /** The handler is starting. The validators are for the input's items and the handler's progress. */
  begin(input: Validator<unknown> | null, progress: Validator<unknown> | null): void;
  /** Items from the caller. */
  readonly input: ItemStream<unknown>;
  /**
   * Sends the items returned by the handler. Resolves when they have been sent.
   * @param source the handler's return value; a promise is awaited
   */
  send(source: unknown, check: Validator<unknown> | null): Promise<void>;
  progress(value: unknown): void;
  /** The caller has given up, or the connection has ended. */
  abort(reason: Error): void;
  /** The reply was sent. */
  answered(): void;
}
