/** The streams of calls, as dispatcher and applications see them. The extension `stream` carries them. */

import type { StreamKeys } from "../wire/stream-keys.ts";
import type { Validator } from "./validation.ts";

/** A source of items: an async iterable, such as an `async function*` returns, an iterable, or a web stream. */
export type StreamSource<T> = AsyncIterable<T> | Iterable<T> | ReadableStream<T>;

/** Items from the other side, in order. They can be read once. */
export interface ItemStream<T> extends AsyncIterableIterator<T, undefined> {
  /** The same as a web stream. Read either this or the iterator. */
  readonly readable: ReadableStream<T>;
  /** Ends the stream: the other side is told to stop. */
  return(): Promise<IteratorResult<T, undefined>>;
}

/** The streams of a request of the peer. */
export interface RequestStreams {
  readonly keys: StreamKeys;
  /** Its handler starts. The validators are those of the input's items, and of the handler's progress. */
  begin(input: Validator<unknown> | null, progress: Validator<unknown> | null): void;
  /** Items from the caller. */
  readonly input: ItemStream<unknown>;
  /**
   * Sends the items that the handler returned. Resolves when they have left.
   * @param source as the handler returned it; a promise is awaited
   */
  send(source: unknown, check: Validator<unknown> | null): Promise<void>;
  progress(value: unknown): void;
  /** The caller gave up, or the connection ended. */
  abort(reason: Error): void;
  /** Its reply was sent. */
  answered(): void;
}
