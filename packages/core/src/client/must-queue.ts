import type { ConnectionState } from "../connection/connection-state.ts";
import type { DrainNotice } from "../connection/extension.ts";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import { type Called, ConduitError, cannot, ErrorCode } from "../errors.ts";
import type { ClientConfig } from "./client-options.ts";
import { endpointOf, type Reconnector } from "./reconnector.ts";

/** A client that can't send now. */
export interface UnconnectedClient {
  readonly config: ClientConfig;
  readonly state: ConnectionState;
  /** Null if there is none. */
  readonly connection: Pick<ProtocolConnection<unknown>, "closeReason" | "draining" | "isOpen"> | null;
  readonly reconnector: Pick<Reconnector<never>, "isConnecting" | "mayConnect" | "mayReconnect">;
}

/** Why a call with streams, which can't be queued, isn't sent, and what to do. */
export function whyNoStream({ state, reconnector }: Pick<UnconnectedClient, "state" | "reconnector">): string {
  return reconnector.isConnecting
    ? "not connected yet; await connected() first, since such calls aren't queued"
    : `not connected (${state}); call connect() first`;
}

/**
 * @param isAttempt whether it is a message with `ack`, which is queued while the client goes on by itself
 * @throws ConduitError CONNECTION_CLOSED or SERVER_STOPPING unless the client queues messages and can still send
 *   them, or its login is about to complete
 */
export function mustQueue(called: Called, isAttempt: boolean, client: UnconnectedClient): void {
  const { config, state, connection, reconnector } = client;
  const queuesAll = config.queueWhileDisconnected === "send";
  if (connection?.isOpen === true) {
    const { draining } = connection;
    if (draining === null || ((queuesAll || isAttempt) && reconnector.mayReconnect)) return;
    throw serverStopping(cannot("send", called), draining, config);
  }
  const goesOn = connection !== null || reconnector.isConnecting;
  const isQueued = queuesAll || (isAttempt && goesOn);
  if (isQueued && reconnector.mayConnect(connection?.closeReason ?? null)) return;
  const reason = reconnector.isConnecting
    ? 'not connected yet; await connected() first, or set queueWhileDisconnected to "send"'
    : `not connected (${state}); call connect() first`;
  throw new ConduitError(ErrorCode.CONNECTION_CLOSED, `${cannot("send", called)}: ${reason}`, {
    details: { started: false },
  });
}

/** @param what the start of the error message */
export function serverStopping(
  what: string,
  { endsInMs, retryAfterMs }: DrainNotice,
  config: ClientConfig,
): ConduitError {
  const waitMs = endsInMs + retryAfterMs;
  const message = `${what}: the server ${endpointOf(config)} is stopping; try again in ${waitMs} ms`;
  const details = { retry_after: waitMs / 1000, started: false };
  return new ConduitError(ErrorCode.SERVER_STOPPING, message, { details });
}
