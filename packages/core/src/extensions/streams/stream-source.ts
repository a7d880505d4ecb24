/** Reads a stream's source: an application's iterable or web stream. */

import { ConduitError, ErrorCode, isInstance, RpcError } from "../../errors.ts";
import type { Validator } from "../../rpc/validation.ts";
import { describeValue } from "../../text/describe-value.ts";
import { isThenable } from "../../util/is-thenable.ts";
import type { StreamSender } from "./stream-sender.ts";

/** The part of a stream's sending end that its source uses. */
export type ItemSink = Pick<StreamSender, "begin" | "write" | "finish" | "reason" | "onAbort">;

type Source = AsyncIterable<unknown> & Iterable<unknown> & ReadableStream<unknown>;

interface Items {
  next(): unknown;
  return?(): unknown;
}

/**
 * Sends all items of a source. Resolves when they have been sent. Rejects with the source's error (thrown, or
 * returned as an RpcError) after the items before it have been sent, with the reason of the sender's `abort`, or if
 * an item can't be sent. Closes the source in any case.
 * @param source the source, or a promise of it
 * @param what the source's description, for errors: `option input of 'sum'`
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
  // Close a source that is waiting for its next item immediately, if possible. Others are closed below, in their own context.
  sender.onAbort = () => {
    if (isOpen) return;
    closing = close(items);
    // Awaited below, once the source has settled.
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
    // Send the items before the error first.
    const leaving = sender.finish();
    if (leaving !== null) await leaving;
    throw error;
  } finally {
    sender.onAbort = null;
  }
}

/** Closes an unused source. */
export async function closeSource(source: unknown): Promise<void> {
  await close(itemsOf(source, "the source"));
}

/** Whether a value can be used as a source. */
export function hasItems(source: unknown): boolean {
  if (typeof source !== "object" || source === null || ArrayBuffer.isView(source)) return false;
  const { [Symbol.asyncIterator]: later, [Symbol.iterator]: now, getReader } = source as Partial<Source>;
  return [later, now, getReader].some((method) => typeof method === "function");
}

/** @throws ConduitError INVALID_TYPE if the value isn't a source */
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
