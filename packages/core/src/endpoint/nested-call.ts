import { ConduitError, ErrorCode, isInstance } from "../errors.ts";
import { IncomingRequest } from "../rpc/incoming-request.ts";
import { describeValue } from "../text/describe-value.ts";
import type { CallOptions } from "./call-options.ts";

/**
 * Applies the option `parent` of a nested call: the deadline and cancellation of the handler's own caller.
 * @throws ConduitError INVALID_CONFIG; TIMEOUT, CANCELLED or CONNECTION_CLOSED if the caller no longer waits
 */
export function withParent<O extends CallOptions>(name: string, options: O | undefined): O | undefined {
  const parent = options?.parent;
  if (options === undefined || parent === undefined) return options;
  if (!isInstance(parent, IncomingRequest)) {
    const message = `parent of '${name}' must be the context of a handler, got ${describeValue(parent)}`;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
  }
  parent.throwIfAborted();
  const { remainingMs } = parent;
  const timeoutMs = remainingMs === null ? options.timeoutMs : Math.min(options.timeoutMs || remainingMs, remainingMs);
  const signal = options.signal === undefined ? parent.signal : AbortSignal.any([options.signal, parent.signal]);
  return { ...options, timeoutMs, signal };
}
