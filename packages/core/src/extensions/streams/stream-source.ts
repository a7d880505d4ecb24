/** The source of a stream: an application's iterable or web stream. */

import { ConduitError, ErrorCode, isInstance, RpcError } from "../../errors.ts";
import type { Validator } from "../../rpc/validation.ts";
import { describeValue } from "../../text/describe-value.ts";
import { isThenable } from "../../util/is-thenable.ts";
import type { StreamSender } from "./stream-sender.ts";

/** The sending end of a stream, as its source uses it. */
export type ItemSink = Pick<StreamSender, "begin" | "write" | "finish" | "reason" | "onAbort">;

type Source = AsyncIterable<unknown> & Iterable<unknown> & ReadableStream<unknown>;

interface Items {
  next(): unknown;
  return?(): unknown;
}

/**
 * Sends all items of a source. Resolves when they have left. Rejects with the source's error, thrown or returned as an
 * RpcError, when the items before it have left; with the reason of the sender's `abort`; or if an item can't be sent. The
 * source is closed in any case.
 * @param source may be a promise of a source
 * @param what the source is, for errors: `option input of 'sum'`
 */
export async function sendAll(
  source: unknown,
  sender: ItemSink,
  check: Validator<unknown> | null,
  name: string,
  what: string,
): Promise<void> {
  const given = await source;
  if (isInstance(given, RpcError)) throw given;
  const items = itemsOf(given, what);
  let isOpen = true;
  let closing: Promise<unknown> | null = null;
  // A source that waits for its next item learns that at once, if it can. Any other is closed below, in its own context.
  sender.onAbort = () => {
    if (isOpen) return;
    closing = close(items);
    // It is awaited below, once the source is at rest.
    closing.catch(() => undefined);
  };
  try {
    const turn = sender.begin();
    if (turn !== null) await turn;
    if (sender.reason !== null) throw sender.reason;
    for (;;) {
      isOpen = false;
      const pending = items.next();
      const step = (isThenable(pending) ? await pending : pending) as IteratorResult<unknown>;
      isOpen = step.done !== true;
      if (sender.reason !== null) throw sender.reason;
      if (step.done === true) {
        // `return error.notFound(…)` in a generator.
        if (isInstance(step.value, RpcError)) throw step.value;
        break;
      }
      let item = step.value;
      if (check !== null) {
        const checked = check.run(item, name);
        item = isThenable(checked) ? await checked : checked;
      }
      const waiting = sender.write(item);
      if (waiting !== null) {
        await waiting;
        if (sender.reason !== null) throw sender.reason;
      }
    }
    const leaving = sender.finish();
    if (leaving !== null) await leaving;
  } catch (error) {
    sender.onAbort = null;
    if (isOpen) await (closing ?? close(items));
    if (sender.reason !== null) throw sender.reason;
    // Items sent before an error arrive before it.
    const leaving = sender.finish();
    if (leaving !== null) await leaving;
    throw error;
  } finally {
    sender.onAbort = null;
  }
}

/** Closes a source that is not needed. */
export async function closeSource(source: unknown): Promise<void> {
  await close(itemsOf(source, "the source"));
}

/** Whether a value may be given as a source. */
export function hasItems(source: unknown): boolean {
  if (typeof source !== "object" || source === null || ArrayBuffer.isView(source)) return false;
  const { [Symbol.asyncIterator]: later, [Symbol.iterator]: now, getReader } = source as Partial<Source>;
  return [later, now, getReader].some((method) => typeof method === "function");
}

/** @throws ConduitError INVALID_TYPE if it has no items */
function itemsOf(source: unknown, what: string): Items {
  if (!hasItems(source)) {
    const message = `${what} must be an async iterable, an iterable or a ReadableStream, got ${describeValue(source)}`;
    throw new ConduitError(ErrorCode.INVALID_TYPE, message);
  }
  const from = source as Partial<Source>;
  if (typeof from[Symbol.asyncIterator] === "function") return (source as Source)[Symbol.asyncIterator]();
  if (typeof from.getReader === "function") return readerItems(source as Source);
  return (source as Source)[Symbol.iterator]();
}

function readerItems(stream: ReadableStream<unknown>): Items {
  const reader = stream.getReader();
  return { next: () => reader.read(), return: () => reader.cancel() };
}

async function close(items: Items): Promise<void> {
  await items.return?.();
}
