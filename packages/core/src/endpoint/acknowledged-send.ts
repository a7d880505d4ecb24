/** Messages whose handler's end is awaited. They are sent again until the peer answers, by one key, so it handles them once. */

import type { RuntimeContext } from "../context/runtime-context.ts";
import { asConduitError, ConduitError, cancelledError, codeOf, ErrorCode, isInstance, RpcError } from "../errors.ts";
import { ONCE_METHOD } from "../rpc/once-window.ts";
import { isMap } from "../util/is-map.ts";
import type { Metadata } from "../wire/metadata.ts";

/** Where attempts go. */
interface Calls {
  call(
    method: string,
    params: unknown,
    options: {
      readonly timeoutMs?: number | undefined;
      readonly signal?: AbortSignal | undefined;
      readonly meta?: Metadata | undefined;
    },
    validator: null,
  ): Promise<unknown>;
}

/** How an acknowledged message is sent again. */
export interface AckOptions {
  /** Attempts before it is given up. Default 10. */
  readonly attempts?: number | undefined;
  /** Longest delay before the second attempt; it doubles each time, up to 30 s, and a random part of it is taken. Default 200 ms. */
  readonly delayMs?: number | undefined;
  /** How long one attempt waits for the answer. Default: option `rpcTimeoutMs`. */
  readonly timeoutMs?: number | undefined;
  /** Gives it up: it rejects with CANCELLED. */
  readonly signal?: AbortSignal | undefined;
  /** Identifies the message, so that it is handled once even if your program sends it again. Default: a new one. */
  readonly once?: string | undefined;
}

const ATTEMPTS = 10;
const DELAY_MS = 200;
const MAX_DELAY_MS = 30_000;

/**
 * Resolves when the peer's handler has returned.
 * @param isOver whether no attempt can succeed any more
 */
export async function sendAcknowledged(
  context: RuntimeContext,
  outgoing: () => Calls,
  isOver: () => boolean,
  type: string,
  data: unknown,
  options: AckOptions & { readonly meta?: Metadata | undefined },
): Promise<void> {
  const { attempts = ATTEMPTS, delayMs = DELAY_MS, timeoutMs, signal, once = crypto.randomUUID(), meta } = options;
  const params = { key: once, type, data };
  for (let attempt = 1; ; attempt += 1) {
    if (signal?.aborted === true) throw cancelledError(type, signal.reason);
    try {
      await outgoing().call(ONCE_METHOD, params, { timeoutMs, signal, meta }, null);
      return;
    } catch (error) {
      const waitMs = retryAfterMs(error, Math.min(delayMs * 2 ** (attempt - 1), MAX_DELAY_MS));
      if (waitMs === null) throw error;
      if (attempt >= attempts || isOver()) throw notDelivered(type, attempt, asConduitError(error));
      await pause(context, waitMs, signal);
    }
  }
}

/** When to try again; null if the peer has answered, or another attempt would fail the same way. */
function retryAfterMs(error: unknown, bound: number): number | null {
  const jittered = Math.random() * bound;
  if (isInstance(error, RpcError)) {
    const isRefused = codeOf(error) === ErrorCode.SERVER_STOPPING || codeOf(error) === ErrorCode.RATE_LIMITED;
    const seconds = isMap(error.details) ? error.details["retry_after"] : null;
    return isRefused && typeof seconds === "number" ? seconds * 1000 + jittered : null;
  }
  if (!isInstance(error, ConduitError)) return null;
  switch (codeOf(error)) {
    case ErrorCode.CONNECTION_CLOSED:
    case ErrorCode.CONNECTION_RESET:
    case ErrorCode.SESSION_EXPIRED:
    case ErrorCode.SERVER_STOPPING:
    case ErrorCode.SEND_QUEUE_FULL:
    case ErrorCode.TIMEOUT:
      return jittered;
    default:
      return null;
  }
}

function notDelivered(type: string, attempts: number, cause: ConduitError): ConduitError {
  const message = `'${type}' was not acknowledged in ${attempts} ${attempts === 1 ? "attempt" : "attempts"}: ${cause.message}`;
  return new ConduitError(ErrorCode.NOT_DELIVERED, message, { cause, details: { attempts } });
}

function pause({ runtime }: RuntimeContext, delayMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      runtime.clearTimer(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = runtime.setTimer(end, delayMs, true);
    signal?.addEventListener("abort", end);
  });
}
