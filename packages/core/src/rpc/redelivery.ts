import { codeOf, ErrorCode, type RpcError } from "../errors.ts";
import type { OnceRequest } from "./once-window.ts";

/** Another delivery would fail the same way. */
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

/** Whether a message whose handler failed may be delivered again. */
export function isRedeliverable(error: RpcError): boolean {
  return !FINAL.has(codeOf(error));
}

/** Whether a failure is the last of a message that was to be delivered several times. */
export function isFinalFailure({ isCall, deliveries }: OnceRequest, error: RpcError, delivery: number): boolean {
  return !isCall && deliveries > 1 && (delivery >= deliveries || !isRedeliverable(error));
}
