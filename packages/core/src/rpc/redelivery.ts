import { codeOf, ErrorCode, type RpcError } from "../errors.ts";
import type { OnceRequest } from "./once-window.ts";

/** Errors with which another delivery would fail as well. */
const FINAL: ReadonlySet<number> = new Set<number>([
  ErrorCode.NO_HANDLER,
  ErrorCode.METHOD_NOT_FOUND,
  ErrorCode.INVALID_PARAMS,
  ErrorCode.VALIDATION,
  ErrorCode.MISSING_FIELD,
  ErrorCode.INVALID_TYPE,
  ErrorCode.PERMISSION_DENIED,
  ErrorCode.AUTH_REQUIRED,
  ErrorCode.PEER_UNSUPPORTED,
  ErrorCode.OUTCOME_UNKNOWN,
  ErrorCode.MESSAGE_TOO_LARGE,
]);

/** Errors that reject a message or call with a key before it starts, so that its sender sends it again. */
const REFUSALS: ReadonlySet<number> = new Set<number>([
  ErrorCode.RATE_LIMITED,
  ErrorCode.SERVER_STOPPING,
  ErrorCode.STORE_FAILED,
  ErrorCode.STORE_FULL,
]);

/** Whether the sender of a key takes this code for a rejection, unless the error says that its handler was started. */
export function isRefusal(code: number): boolean {
  return REFUSALS.has(code);
}

/** Whether a message whose handler failed may be delivered again. */
export function isRedeliverable(error: RpcError): boolean {
  return !FINAL.has(codeOf(error));
}

/** Whether this is the final failure of a message with several deliveries. */
export function isFinalFailure({ isCall, deliveries }: OnceRequest, error: RpcError, delivery: number): boolean {
  return !isCall && deliveries > 1 && (delivery >= deliveries || !isRedeliverable(error));
}
