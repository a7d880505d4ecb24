/** What a link answers beside results: errors, discovery, and what becomes of frames that cannot be used. */

import { ConduitError, ErrorCode } from "../errors.ts";
import { FrameType } from "../wire/constants.ts";
import type { FrameDecoder } from "../wire/frame-decoder.ts";
import { asConduitError } from "./outgoing-calls.ts";
import type { ProtocolConnection } from "./protocol-connection.ts";

/** Sends RPC_ERROR. Details or a text that cannot be sent do not cost the caller its answer. */
export function sendError<Peer>(
  link: ProtocolConnection<Peer>,
  hi: number,
  lo: number,
  message: string,
  code: number,
  details: Readonly<Record<string, unknown>> | undefined,
): void {
  const { writer } = link.owner;
  try {
    writer.rpcError(hi, lo, message, code, details);
    link.sendQueue.push(writer, "reply");
  } catch (error) {
    sendBareError(link, hi, lo, message, code);
    link.refused(asConduitError(error));
  }
}

function sendBareError<Peer>(
  link: ProtocolConnection<Peer>,
  hi: number,
  lo: number,
  message: string,
  code: number,
): void {
  const { writer } = link.owner;
  try {
    writer.rpcError(hi, lo, message, code, undefined);
  } catch {
    const known = typeof code === "number" ? code : ErrorCode.INTERNAL;
    writer.rpcError(hi, lo, "The error cannot be sent", known, undefined);
  }
  link.sendQueue.push(writer, "reply");
}

/** A frame was whole, its payload was not what it should be. */
export function payloadRefused<Peer>(
  link: ProtocolConnection<Peer>,
  type: number,
  hi: number,
  lo: number,
  error: ConduitError,
): void {
  link.countFault("errors");
  if (type === FrameType.RPC_REQUEST || (type === FrameType.MESSAGE && link.extensions.reply)) {
    if (hi !== 0 || lo !== 0) link.sendError(hi, lo, error.message, error.code, undefined);
  }
  link.refused(error);
}

/** RPC_LIST arrived. */
export function listAsked<Peer>(link: ProtocolConnection<Peer>, frame: FrameDecoder): void {
  // One with a payload is an answer, and nobody here asks.
  if (frame.payloadStart !== frame.payloadEnd || !link.scheduler.isWithinRate(frame, true)) return;
  const { owner, sendQueue } = link;
  owner.writer.payload(FrameType.RPC_LIST, frame.correlationHi, frame.correlationLo, owner.discovery());
  sendQueue.push(owner.writer, "reply");
}

/** Why a message or request was not taken for sending. */
export function sendQueueFull<Peer>(link: ProtocolConnection<Peer>, name: string): ConduitError {
  const { sendQueueSize, sendQueueBytes } = link.owner.settings;
  const message =
    `Cannot send '${name}': the send queue holds ${link.queuedFrames} messages, ${link.bufferedBytes} bytes ` +
    `(sendQueueSize ${sendQueueSize}, sendQueueBytes ${sendQueueBytes})`;
  return new ConduitError(ErrorCode.SEND_QUEUE_FULL, message);
}
