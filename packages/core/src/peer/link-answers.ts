/** What a link answers beside results: errors, discovery, and what becomes of frames that cannot be used. */

import { ConduitError, ErrorCode } from "../errors.ts";
import { FrameType } from "../wire/constants.ts";
import type { FrameDecoder } from "../wire/frame-decoder.ts";
import type { Link } from "./link.ts";
import { asConduitError } from "./outgoing-calls.ts";

/** Sends RPC_ERROR. Details or a text that cannot be sent do not cost the caller its answer. */
export function sendError<Face>(
  link: Link<Face>,
  hi: number,
  lo: number,
  message: string,
  code: number,
  details: Readonly<Record<string, unknown>> | undefined,
): void {
  const { writer } = link.owner;
  try {
    writer.rpcError(hi, lo, message, code, details);
    link.outbox.push(writer, "reply");
  } catch (error) {
    sendBareError(link, hi, lo, message, code);
    link.refused(asConduitError(error));
  }
}

function sendBareError<Face>(link: Link<Face>, hi: number, lo: number, message: string, code: number): void {
  const { writer } = link.owner;
  try {
    writer.rpcError(hi, lo, message, code, undefined);
  } catch {
    const known = typeof code === "number" ? code : ErrorCode.INTERNAL;
    writer.rpcError(hi, lo, "The error cannot be sent", known, undefined);
  }
  link.outbox.push(writer, "reply");
}

/** A frame was whole, its payload was not what it should be. */
export function payloadRefused<Face>(
  link: Link<Face>,
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
export function listAsked<Face>(link: Link<Face>, frame: FrameDecoder): void {
  // One with a payload is an answer, and nobody here asks.
  if (frame.payloadStart !== frame.payloadEnd || !link.intake.isWithinRate(frame, true)) return;
  const { owner, outbox } = link;
  owner.writer.payload(FrameType.RPC_LIST, frame.correlationHi, frame.correlationLo, owner.discovery());
  outbox.push(owner.writer, "reply");
}

/** Why a message or request was not taken for sending. */
export function sendQueueFull<Face>(link: Link<Face>, name: string): ConduitError {
  const { sendQueueSize, sendQueueBytes } = link.owner.settings;
  const message =
    `Cannot send '${name}': the send queue holds ${link.queuedFrames} messages, ${link.bufferedBytes} bytes ` +
    `(sendQueueSize ${sendQueueSize}, sendQueueBytes ${sendQueueBytes})`;
  return new ConduitError(ErrorCode.SEND_QUEUE_FULL, message);
}
