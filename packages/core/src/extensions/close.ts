/** CLOSE and CLOSE_ACK: why a connection ends, and whether the peer may dial again. */

import type { CloseReason } from "../connection/close-reason.ts";
import type { Extension, ExtensionHost, ReceivedFrame } from "../connection/extension.ts";
import { asConduitError, ErrorCode } from "../errors.ts";
import { FrameType } from "../wire/constants.ts";

interface State {
  readonly connection: ExtensionHost;
  /** The peer reads CLOSE and answers CLOSE_ACK. A netconduit peer does neither. */
  readonly isAgreed: boolean;
}

export const close: Extension<true, State> = {
  name: "close",
  frames: [{ type: FrameType.CLOSE }, { type: FrameType.CLOSE_ACK }],
  isBase: true,
  offer: () => true,
  accept: (theirs) => (theirs === true ? true : null),
  attach: (connection, params) => ({ connection, isAgreed: params !== null }),
  receive(state, frame) {
    if (frame.type === FrameType.CLOSE) receiveClose(state, frame);
  },
  closing({ connection, isAgreed }, reason) {
    if (isAgreed && !reason.byPeer) sendClose(connection, reason);
  },
};

function receiveClose({ connection, isAgreed }: State, frame: ReceivedFrame): void {
  const payload = connection.readMap(frame);
  const message = typeof payload?.["reason"] === "string" ? payload["reason"] : "Closed by the peer";
  const code = typeof payload?.["code"] === "number" ? payload["code"] : ErrorCode.CONNECTION_CLOSED;
  if (isAgreed) connection.sendControl(FrameType.CLOSE_ACK, frame.correlationHi, frame.correlationLo, "reply");
  void connection.close({ code, message, reconnect: payload?.["reconnect"] !== false, byPeer: true });
}

function sendClose(connection: ExtensionHost, { code, message, reconnect }: CloseReason): void {
  try {
    connection.sendPayload(FrameType.CLOSE, { reason: message, code, reconnect }, "reply");
  } catch (error) {
    // A text that cannot be sent must not keep the connection from ending.
    connection.sendPayload(FrameType.CLOSE, { reason: "", code, reconnect }, "reply");
    connection.report(asConduitError(error));
  }
}
