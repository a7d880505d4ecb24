import { isSchema, type Schema } from "../rpc/schema.ts";
import { Validator } from "../rpc/validation.ts";

/** Options of one call or request. */
export interface CallOptions {
  /** Milliseconds until the call rejects with TIMEOUT. Default: option `rpcTimeoutMs`. */
  readonly timeoutMs?: number | undefined;
  /**
   * Cancels the call: it rejects at once, with CANCELLED (TIMEOUT for a signal of `AbortSignal.timeout`), and the
   * handler's signal fires.
   */
  readonly signal?: AbortSignal | undefined;
}

/** Call options with a schema that the result is checked with (or INVALID_RESULT), and that gives its type. */
export interface TypedCallOptions<R extends Schema> extends CallOptions {
  readonly result: R;
}

/** The validator of a call's result, if its options name a schema. Whether they are options, `checkOptions` says. */
export function resultValidator(
  options: CallOptions | TypedCallOptions<Schema> | undefined,
): Validator<unknown> | null {
  const result: unknown = (options as Partial<TypedCallOptions<Schema>> | null | undefined)?.result;
  return isSchema(result) ? new Validator(result, "result") : null;
}
