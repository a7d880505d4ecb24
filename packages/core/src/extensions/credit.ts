/**
 * CREDIT: a receiver grants its peer a number of frames and bytes for messages and requests, and returns the credit
 * as its application takes them. Replies and all other frames need no credit.
 */

import type { Extension, ExtensionHost } from "../connection/extension.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { isCount } from "../util/is-count.ts";
import { isMap } from "../util/is-map.ts";

/** `{frames, bytes}`. */
export const CREDIT_FRAME = 0x0103;
/** Room for two integers and their keys. */
const MAX_CREDIT_BYTES = 64;

/** The frames and bytes granted to a peer. */
export interface Grant {
  readonly frames: number;
  readonly bytes: number;
}

export const credit: Extension<Grant, ExtensionHost> = {
  name: "credit",
  frames: [{ type: CREDIT_FRAME, maxPayloadBytes: MAX_CREDIT_BYTES }],
  offer: ({ enableBackpressure, receiveQueueSize, receiveQueueBytes }) =>
    enableBackpressure ? { frames: receiveQueueSize, bytes: receiveQueueBytes } : null,
  accept: (theirs) => grantIn(theirs, 1),
  enables: "hasCredit",
  attach(connection, theirs) {
    if (theirs !== null) connection.useCredit(theirs, CREDIT_FRAME);
  },
  receive(connection, frame) {
    const grant = grantIn(connection.readMap(frame), 0);
    if (grant === null) {
      throw new ConduitError(ErrorCode.INVALID_PAYLOAD_SHAPE, "CREDIT needs frames and bytes, integers of at least 0");
    }
    connection.sendQueue.addCredit(grant.frames, grant.bytes);
  },
};

/** Reads a grant from the peer's map; null if it is invalid. */
function grantIn(map: unknown, least: number): Grant | null {
  if (!isMap(map)) return null;
  const { frames, bytes } = map;
  return isCount(frames, least) && isCount(bytes, least) ? { frames, bytes } : null;
}
