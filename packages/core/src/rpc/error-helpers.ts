import { asError, ConduitError, codeOf, ErrorCode, errorCodeName, isInstance, messageOf, RpcError } from "../errors.ts";
import { clip, describeValue } from "../text/describe-value.ts";
import { KnownOptions } from "../util/known-options.ts";

/** An error's details, which are sent to the caller, and its cause, which isn't. */
export interface ErrorHelperOptions {
  /** Sent to the caller. String keys, with values that MessagePack can encode. */
  readonly details?: Readonly<Record<string, unknown>> | undefined;
  /** The cause; never sent. */
  readonly cause?: unknown;
}

type CustomOptions = ErrorHelperOptions & { readonly code?: number | undefined };
type InternalOptions = ErrorHelperOptions & { readonly message?: string | undefined };

interface ValidationOptions {
  readonly field?: string | undefined;
  readonly expected?: string | undefined;
  readonly received?: unknown;
}

interface NotFoundOptions {
  readonly identifier?: string | number | bigint | undefined;
}

interface RateLimitedOptions {
  readonly retryAfterSeconds?: number | undefined;
}

const COMMON = { details: true, cause: true } as const;
const CUSTOM = new KnownOptions<CustomOptions>("error", { ...COMMON, code: true });
const VALIDATION = new KnownOptions<ValidationOptions>("error.validation", {
  field: true,
  expected: true,
  received: true,
});
const NOT_FOUND = new KnownOptions<NotFoundOptions>("error.notFound", { identifier: true });
const INTERNAL = new KnownOptions<InternalOptions>("error.internal", { ...COMMON, message: true });
const RATE_LIMITED = new KnownOptions<RateLimitedOptions>("error.rateLimited", { retryAfterSeconds: true });

/**
 * Creates errors for a handler to return or throw; both have the same effect. All throw INVALID_CONFIG for an unknown
 * option.
 */
export interface ErrorHelper {
  /**
   * A custom error. `code` is an integer: one of your own (below 1000 or from 9000), or a value of `ErrorCode` with
   * its usual meaning. Default UNKNOWN (1000).
   */
  (message: string, options?: ErrorHelperOptions & { readonly code?: number | undefined }): RpcError;

  /** VALIDATION (2000). `field`, `expected` and `received` (as short text) are sent as `details`. */
  validation(
    message: string,
    options?: {
      readonly field?: string | undefined;
      readonly expected?: string | undefined;
      readonly received?: unknown;
    },
  ): RpcError;

  /** NOT_FOUND (4010): `"User not found: 7"`, or `"User not found"` without an identifier. */
  notFound(resource: string, options?: { readonly identifier?: string | number | bigint | undefined }): RpcError;

  /** PERMISSION_DENIED (3002): `"Permission denied: delete_user"`. */
  permissionDenied(action?: string): RpcError;

  /**
   * INTERNAL (1001). The message is sent, unlike that of other exceptions. Default `"Internal server error"`.
   */
  internal(options?: ErrorHelperOptions & { readonly message?: string | undefined }): RpcError;
  internal(message: string, options?: ErrorHelperOptions): RpcError;

  /** TIMEOUT (5001): `"Operation timed out: payment_gateway"`. */
  timeout(operation?: string): RpcError;

  /** RATE_LIMITED (6000). `retryAfterSeconds` is sent as `details.retry_after`. */
  rateLimited(options?: { readonly retryAfterSeconds?: number | undefined }): RpcError;

  /**
   * Passes on the error of a call that the handler made itself. An `RpcError` keeps its code, message and details. An
   * error raised by this library on this side (`TIMEOUT`, `CONNECTION_CLOSED`) keeps its code; its message isn't
   * sent, because it contains addresses. Any other value is returned unchanged, and reaches the caller as INTERNAL
   * when thrown.
   */
  forward(failure: unknown): Error;
}

function custom(message: string, options?: CustomOptions): RpcError {
  CUSTOM.check(options, message);
  return create(message, options);
}

function create(message: string, { code, details, cause }: CustomOptions = {}): RpcError {
  return new RpcError(code ?? ErrorCode.UNKNOWN, message, { details, cause });
}

const helpers: Omit<ErrorHelper, never> = {
  validation(message, options) {
    VALIDATION.check(options, message);
    const { field, expected, received } = options ?? {};
    const details: Record<string, string> = {};
    if (field) details["field"] = field;
    if (expected) details["expected"] = expected;
    if (received !== undefined && received !== null) {
      details["received"] = typeof received === "string" ? clip(received) : describeValue(received);
    }
    return create(message, {
      code: ErrorCode.VALIDATION,
      details: Object.keys(details).length === 0 ? undefined : details,
    });
  },

  notFound(resource, options) {
    NOT_FOUND.check(options, resource);
    const { identifier } = options ?? {};
    const suffix = identifier === undefined || identifier === "" ? "" : `: ${clip(String(identifier), 200)}`;
    return create(`${resource} not found${suffix}`, { code: ErrorCode.NOT_FOUND });
  },

  permissionDenied(action) {
    return create(action ? `Permission denied: ${action}` : "Permission denied", { code: ErrorCode.PERMISSION_DENIED });
  },

  internal(messageOrOptions?: string | InternalOptions, options?: ErrorHelperOptions) {
    if (typeof messageOrOptions === "string") INTERNAL.check(options, messageOrOptions);
    else INTERNAL.check(messageOrOptions);
    const given = typeof messageOrOptions === "string" ? { ...options, message: messageOrOptions } : messageOrOptions;
    return create(given?.message || "Internal server error", { ...given, code: ErrorCode.INTERNAL });
  },

  timeout(operation) {
    return create(operation ? `Operation timed out: ${operation}` : "Operation timed out", { code: ErrorCode.TIMEOUT });
  },

  forward(failure) {
    if (!isInstance(failure, ConduitError)) return asError(failure);
    const code = codeOf(failure);
    if (!isInstance(failure, RpcError)) {
      return create(`A call to another peer failed: ${errorCodeName(code)}`, { code, cause: failure });
    }
    return create(messageOf(failure), { code, details: failure.details, cause: failure });
  },

  rateLimited(options) {
    RATE_LIMITED.check(options);
    const { retryAfterSeconds } = options ?? {};
    return create("Rate limit exceeded", {
      code: ErrorCode.RATE_LIMITED,
      details: retryAfterSeconds === undefined ? undefined : { retry_after: retryAfterSeconds },
    });
  },
};

/**
 * Creates errors for a handler to return or throw, as netconduit's `Error` does. The caller receives an `RpcError` with
 * the same code, message and details.
 */
export const error: ErrorHelper = Object.assign(custom, helpers) as ErrorHelper;
