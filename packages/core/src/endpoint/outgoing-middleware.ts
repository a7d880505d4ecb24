/** Middleware around a client's outgoing calls and messages. */

import { asError, ConduitError, ErrorCode } from "../errors.ts";
import { checkMiddleware, droppedResult } from "../rpc/middleware.ts";
import type { CallOptions, CallStreamOptions, SendOptions } from "./call-options.ts";

/** An outgoing call, request, message or stream, as passed to the middleware of `client.use`. */
export interface OutgoingContext {
  readonly kind: "call" | "request" | "message" | "stream";
  /** Method or message type. */
  readonly method: string;
  /** The parameters or data. */
  readonly value: unknown;
  /** The signal passed to the call, request or stream. */
  readonly signal: AbortSignal | undefined;
  /** The metadata to send: the option `meta` and entries added by middlewares. */
  readonly meta: Record<string, string>;
}

/**
 * Runs around outgoing calls and messages. For a call or request, its return value becomes the result, and its error
 * the error.
 *
 * `next` sends, and resolves with the result. For a call or request it may be called again, to retry. Messages, calls
 * without a reply and streams are sent synchronously: `next` must be called once, before the first `await`, and
 * resolves immediately.
 */
export type OutgoingMiddleware = (context: OutgoingContext, next: () => Promise<unknown>) => unknown;

/** The middlewares of a client. */
export class OutgoingMiddlewares {
  readonly #list: OutgoingMiddleware[] = [];
  readonly #failed: (error: Error, name: string) => void;

  /** @param failed called when a middleware fails around something without a reply */
  constructor(failed: (error: Error, name: string) => void) {
    this.#failed = failed;
  }

  /** @throws ConduitError INVALID_CONFIG */
  add(middleware: OutgoingMiddleware): void {
    checkMiddleware(middleware);
    this.#list.push(middleware);
  }

  /** Runs the middlewares around a call or request. Each call of `send` sends it. */
  async around<O extends CallOptions>(
    kind: "call" | "request",
    method: string,
    value: unknown,
    options: O | undefined,
    send: (options: O) => Promise<unknown>,
  ): Promise<unknown> {
    const context = contextOf(kind, method, value, options);
    const { input } = (options ?? {}) as CallStreamOptions<unknown>;
    let attempts = 0;
    let hasResult = false;
    const result = await this.#run(0, context, async () => {
      attempts += 1;
      if (attempts > 1 && input !== undefined) {
        throw new ConduitError(ErrorCode.INVALID_STATE, `'${method}' can't be called again: its input was read`);
      }
      const answer = await send({ ...options, meta: context.meta } as O);
      hasResult = answer !== undefined;
      return answer;
    });
    if (result !== undefined || !hasResult) return result;
    throw droppedResult(method);
  }

  /** Runs the middlewares around something that is sent synchronously. Returns or throws what `send` does. */
  aroundSending<O extends SendOptions, T>(
    kind: "message" | "call" | "stream",
    method: string,
    value: unknown,
    options: O | undefined,
    send: (options: O) => T,
  ): T {
    const context = contextOf(kind, method, value, options);
    let sent: { readonly value: T } | { readonly error: unknown } | null = null;
    let isRefused = false;
    const rest = this.#run(0, context, () => {
      if (isRefused)
        throw new ConduitError(
          ErrorCode.INVALID_STATE,
          `'${method}' wasn't sent: next() came too late; call it before the first await`,
        );
      if (sent !== null)
        throw new ConduitError(
          ErrorCode.INVALID_STATE,
          `'${method}' was sent already: a middleware called next() twice`,
        );
      try {
        sent = { value: send({ ...options, meta: context.meta } as O) };
      } catch (error) {
        sent = { error };
        throw error;
      }
    });
    const outcome = sent as { readonly value: T } | { readonly error: unknown } | null;
    // Errors of `send` are thrown below.
    rest.catch((error: unknown) => {
      if (outcome === null || !("error" in outcome) || outcome.error !== error) this.#failed(asError(error), method);
    });
    if (outcome === null) {
      isRefused = true;
      const message = `'${method}' wasn't sent: a middleware must call next() for it before its first await`;
      throw new ConduitError(ErrorCode.INVALID_STATE, message);
    }
    if ("error" in outcome) throw outcome.error;
    return outcome.value;
  }

  async #run(index: number, context: OutgoingContext, send: () => unknown): Promise<unknown> {
    const middleware = this.#list[index];
    if (middleware === undefined) return send();
    return middleware(context, () => this.#run(index + 1, context, send));
  }
}

function contextOf(
  kind: OutgoingContext["kind"],
  method: string,
  value: unknown,
  options: CallOptions | undefined,
): OutgoingContext {
  return { kind, method, value, signal: options?.signal, meta: { ...options?.meta } };
}
