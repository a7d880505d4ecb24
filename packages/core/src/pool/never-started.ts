import { ConduitError, codeOf, ErrorCode, isInstance, RpcError } from "../errors.ts";
import { isMap } from "../util/is-map.ts";

/**
 * Whether a call or message that failed with this error certainly wasn't started by the server, so that it may be
 * sent to another one: the client couldn't send it, or the server reports that it was never started.
 */
export function wasNeverStarted(error: unknown): boolean {
  if (!isInstance(error, ConduitError)) return false;
  const code = codeOf(error);
  const fromServer = isInstance(error, RpcError);
  if (code === ErrorCode.SEND_QUEUE_FULL) return !fromServer;
  if (code === ErrorCode.SERVER_STOPPING || (code === ErrorCode.CONNECTION_CLOSED && !fromServer)) {
    return isMap(error.details) && error.details["started"] === false;
  }
  return false;
}
