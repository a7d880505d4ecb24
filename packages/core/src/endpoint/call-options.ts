import type { HandlerContext } from "../rpc/incoming-request.ts";
import type { StreamSource } from "../rpc/request-streams.ts";
import { isSchema, type Schema } from "../rpc/schema.ts";
import { Validator } from "../rpc/validation.ts";
import type { Metadata } from "../wire/metadata.ts";
import type { AckOptions } from "./acknowledged-send.ts";

/** Options of a message. */
export interface SendOptions {
  /** Strings for the handler's `context.meta`, at most 64 with 4096 characters together. Default: none. */
  readonly meta?: Metadata | undefined;
}

/** Options of one call or request. */
export interface CallOptions extends SendOptions {
  /** Milliseconds until the call rejects with TIMEOUT. Default: option `rpcTimeoutMs`. */
  readonly timeoutMs?: number | undefined;
  /**
   * Cancels the call: it rejects immediately with CANCELLED (TIMEOUT for a signal from `AbortSignal.timeout`), and the
   * handler's signal fires.
   */
  readonly signal?: AbortSignal | undefined;
  /**
   * The context of the handler that makes this call. The call is cancelled when the handler's caller cancels, and its
   * timeout is at most the caller's remaining time.
   */
  readonly parent?: HandlerContext<unknown, unknown> | undefined;
}

/** Options of `send`. */
export interface SendingOptions extends SendOptions {
  /** Resolve when the peer's handler has returned, and reject with its error. The message is resent until then. */
  readonly ack?: true | AckOptions | undefined;
}

/** The return type of `send`. */
export type Sent<O, Queued = boolean> = [O] extends [{ readonly ack: true | AckOptions }] ? Promise<void> : Queued;

/** Options of `call` beside those of any call. */
export interface OnceOptions {
  /**
   * A key of 1 to 256 characters. The method runs once for all calls with this key within two minutes (with a store,
   * `resume.onceMs`), and each call gets the same answer. If the connection is lost, the call continues over the next
   * one. Keys are scoped to the user; clients with the shared password share theirs.
   */
  readonly once?: string | undefined;
}

/**
 * Receives the values of a schema. Without a schema it is declared as a method, whose bivariant parameter lets a
 * program state the values' type.
 */
type ProgressListener<Progress> = unknown extends Progress
  ? { listen(value: unknown): unknown }["listen"]
  : (value: Progress) => unknown;

/** Streams of a call. */
export interface CallStreamOptions<Item, Progress = unknown> {
  /** Items for the method, which its handler reads from `context.input`. Such a call has no timeout unless `timeoutMs` is given. */
  readonly input?: StreamSource<Item> | undefined;
  /** Called with each value that the handler passes to `context.progress`. */
  readonly onProgress?: ProgressListener<Progress> | undefined;
}

/** Options of a stream. */
export interface StreamOptions<Item = unknown, Progress = unknown> extends SendOptions {
  /** As in {@link CallOptions}. */
  readonly parent?: HandlerContext<unknown, unknown> | undefined;
  /** Milliseconds until the whole stream ends with TIMEOUT. Default: none. */
  readonly timeoutMs?: number | undefined;
  /** Cancels the stream: reading it throws CANCELLED, and the handler's signal fires. */
  readonly signal?: AbortSignal | undefined;
  /** Items for the method, which its handler reads from `context.input`. */
  readonly input?: StreamSource<Item> | undefined;
  /** Called with each value that the handler passes to `context.progress`. */
  readonly onProgress?: ProgressListener<Progress> | undefined;
}

/** Stream options with a schema that validates and types the items. An invalid one ends the stream with INVALID_RESULT. */
export interface TypedStreamOptions<R extends Schema, Item = unknown, Progress = unknown>
  extends StreamOptions<Item, Progress> {
  readonly output: R;
}

/** Call options with a schema that validates and types the result. An invalid result rejects with INVALID_RESULT. */
export interface TypedCallOptions<R extends Schema> extends CallOptions {
  readonly result: R;
}

/**
 * Returns a validator for a call's result if the options have a schema. `checkResult` validates the option itself.
 */
export function resultValidator(
  options: CallOptions | TypedCallOptions<Schema> | undefined,
): Validator<unknown> | null {
  const result: unknown = (options as Partial<TypedCallOptions<Schema>> | null | undefined)?.result;
  return isSchema(result) ? new Validator(result, "result") : null;
}
