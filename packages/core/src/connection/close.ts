/** How a link ends: what is said about it in both directions, and why it was. */

import { ConduitError, ErrorCode, errorCodeName } from "../errors.ts";
import { FrameType } from "../wire/constants.ts";
import type { FrameDecoder } from "../wire/frame-decoder.ts";
import type { CloseReason } from "./connection-delegate.ts";
import { asConduitError } from "./outgoing-calls.ts";
import type { ProtocolConnection } from "./protocol-connection.ts";

/** Why `ProtocolConnection.close` is called. */
export interface CloseRequest {
  readonly code: number;
  readonly message: string;
  readonly reconnect: boolean;
  readonly byPeer?: boolean;
}

export function closeReason({ code, message, reconnect, byPeer = false }: CloseRequest): CloseReason {
  return { code, codeName: errorCodeName(code), message, byPeer, reconnect };
}

/** Tells the peer why the connection ends, if it understands that. */
export function sendClose<Peer>(link: ProtocolConnection<Peer>, { code, message, reconnect }: CloseReason): void {
  if (!link.extensions.close) return;
  const { writer } = link.owner;
  try {
    writer.payload(FrameType.CLOSE, 0, 0, { reason: message, code, reconnect });
  } catch (error) {
    // A text that cannot be sent must not keep the connection from ending.
    writer.payload(FrameType.CLOSE, 0, 0, { reason: "", code, reconnect });
    link.refused(asConduitError(error));
  }
  link.sendQueue.push(writer, "reply");
}

/** CLOSE arrived: answers it, and ends this side too. */
export function closeReceived<Peer>(link: ProtocolConnection<Peer>, frame: FrameDecoder): void {
  const { owner, sendQueue } = link;
  const payload = owner.reader.readMap(frame, owner.settings.maxMessageBytes);
  const message = typeof payload?.reason === "string" ? payload.reason : "Closed by the peer";
  const code = typeof payload?.code === "number" ? payload.code : ErrorCode.CONNECTION_CLOSED;
  if (link.extensions.close) {
    owner.writer.control(FrameType.CLOSE_ACK, frame.correlationHi, frame.correlationLo);
    sendQueue.push(owner.writer, "reply");
  }
  void link.close({ code, message, reconnect: payload?.reconnect !== false, byPeer: true });
}

/** The framing is broken, or the peer is not who it should be: say why, then end. */
export function failConnection<Peer>(link: ProtocolConnection<Peer>, failure: ConduitError): void {
  if (link.isOver || link.closeReason !== null) return;
  const error = withOption(link, failure);
  link.countFault("errors");
  link.refused(error);
  if (link.isAuthenticated) void link.close({ code: error.code, message: error.message, reconnect: true });
  else link.destroy(error);
}

/** Both sides read this of a frame that is too large, and only one of them has the option that it is too large for. */
function withOption<Peer>(link: ProtocolConnection<Peer>, error: ConduitError): ConduitError {
  if (error.code !== ErrorCode.MESSAGE_TOO_LARGE || !link.isAuthenticated) return error;
  const message = `${error.message} (option maxMessageBytes of the ${link.owner.role}, which received it)`;
  return new ConduitError(error.code, message, { details: error.details, cause: error });
}

/** What calls that the end cut short fail with. */
export function errorOf(reason: CloseReason): ConduitError {
  return new ConduitError(reason.code, reason.message);
}

/** Why a stream ended that nobody here closed. */
export function reasonOf(error: Error | null): CloseReason {
  if (error === null) {
    const message = "Closed by the peer";
    return closeReason({ code: ErrorCode.CONNECTION_CLOSED, message, byPeer: true, reconnect: true });
  }
  const code = error instanceof ConduitError ? error.code : ErrorCode.CONNECTION_ERROR;
  return closeReason({ code, message: error.message, reconnect: true });
}
