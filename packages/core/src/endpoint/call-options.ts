import { isSchema, type Schema } from "../rpc/schema.ts";
import { Validator } from "../rpc/validation.ts";

/** Options of one call or request. */
export interface CallOptions {
  /** Milliseconds until the call rejects with TIMEOUT. Default: option `rpcTimeoutMs`. */
  readonly timeoutMs?: number | undefined;
  /**
   * Cancels the call: it rejects immediately with CANCELLED (TIMEOUT for a signal from `AbortSignal.timeout`), and the
   * handler's signal fires.
   */
  readonly signal?: AbortSignal | undefined;
}

/** Call options with a schema that validates and types the result. An invalid result rejects with INVALID_RESULT. */
export interface TypedCallOptions<R extends Schema> extends CallOptions {
  readonly result: R;
}

/**
 * Returns a validator for a call's result if the options have a schema. `checkOptions` validates the options
 * themselves.
 */
export function resultValidator(
  options: CallOptions | TypedCallOptions<Schema> | undefined,
): Validator<unknown> | null {
  const result: unknown = (options as Partial<TypedCallOptions<Schema>> | null | undefined)?.result;
  return isSchema(result) ? new Validator(result, "result") : null;
}
