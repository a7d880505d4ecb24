/** CLOSE and CLOSE_ACK: why a connection ends, and whether the client may reconnect. */

import type { CloseReason } from "../connection/close-reason.ts";
import {
  acceptWithoutParams,
  type Extension,
  type ExtensionHost,
  type ReceivedFrame,
} from "../connection/extension.ts";
import { handledIn } from "../connection/send/unhandled-messages.ts";
import { asConduitError, ErrorCode } from "../errors.ts";
import { clip, oneLine } from "../text/describe-value.ts";
import { isCount } from "../util/is-count.ts";
import { FrameType } from "../wire/constants.ts";

/** Reasons are truncated to this many characters when sent and received. */
const MAX_REASON_CHARS = 256;
/** If more requests are unanswered, CLOSE doesn't list them. */
const MAX_STARTED = 1000;
/** Limit of the listed range ends. Messages in further ranges are handled again. */
const MAX_ABOVE = 500;
/** Room for a reason in any script, a code, a flag and the ids. */
const MAX_CLOSE_BYTES = 16_384;

interface State {
  readonly connection: ExtensionHost;
  /** Whether CLOSE was received. A peer may repeat it while this side is still flushing. */
  isReceived: boolean;
}

export const close: Extension<true, State> = {
  name: "close",
  frames: [
    { type: FrameType.CLOSE, maxPayloadBytes: MAX_CLOSE_BYTES },
    { type: FrameType.CLOSE_ACK, maxPayloadBytes: 0 },
  ],
  isBase: true,
  offer: () => true,
  accept: acceptWithoutParams,
  // Netconduit peers don't negotiate it, but may send CLOSE.
  enables: "answersClose",
  makeState: (connection) => ({ connection, isReceived: false }),
  receive(state, frame) {
    if (frame.type !== FrameType.CLOSE || state.isReceived) return;
    state.isReceived = true;
    receiveClose(state.connection, frame);
  },
  closing({ connection }, reason) {
    if (connection.features.answersClose && !reason.byPeer) sendClose(connection, reason);
  },
};

function receiveClose(connection: ExtensionHost, frame: ReceivedFrame): void {
  const payload = connection.readMap(frame);
  const { reason, code: given } = payload ?? {};
  const message = typeof reason === "string" ? oneLine(clip(reason, MAX_REASON_CHARS)) : "Closed by the peer";
  const code = Number.isSafeInteger(given) ? (given as number) : ErrorCode.CONNECTION_CLOSED;
  if (connection.features.answersClose)
    connection.sendControl(FrameType.CLOSE_ACK, frame.correlationHi, frame.correlationLo, "reply");
  const reconnect = payload?.["reconnect"] !== false;
  const started = Array.isArray(payload?.["started"]) ? new Set(payload["started"]) : null;
  void connection.close({ code, message, reconnect, byPeer: true, started });
  const taken = payload?.["taken"];
  if (isCount(taken)) connection.sender.peerTook(taken, handledIn(payload));
}

function sendClose(connection: ExtensionHost, { code, message, reconnect }: CloseReason): void {
  const { startedIds, reportableTaken: taken, handledMessages: messages } = connection.requests;
  // With other reasons, a handler that closes its own client would get the same message repeatedly.
  const isInterrupted = code === ErrorCode.SERVER_STOPPING && messages?.isStored === true;
  const facts = {
    ...(startedIds !== null && startedIds.length <= MAX_STARTED ? { started: startedIds } : {}),
    ...(connection.features.reportsRefusals ? { taken } : {}),
    ...(isInterrupted ? { handled: messages.handled, above: messages.handledAbove.slice(0, MAX_ABOVE) } : {}),
  };
  try {
    const reason = clip(message, MAX_REASON_CHARS);
    connection.sendPayload(FrameType.CLOSE, { reason, code, reconnect, ...facts }, "reply");
  } catch (error) {
    // A reason that can't be encoded must not prevent the connection from closing.
    connection.sendPayload(FrameType.CLOSE, { reason: "", code, reconnect, ...facts }, "reply");
    connection.report(asConduitError(error));
  }
}
