/** Announces the largest message that each side accepts, so that the other side doesn't send larger ones. */

import type { Extension, ExtensionHost } from "../connection/extension.ts";
import { isMap } from "../util/is-map.ts";

/** Room for envelopes and errors; the smallest `maxMessageBytes`. */
export const MIN_MESSAGE_BYTES = 1024;

export interface Limits {
  /** Largest payload of a message, call or reply, as inflated: the option `maxMessageBytes`. */
  readonly message_bytes: number;
}

export const limits: Extension<Limits, ExtensionHost> = {
  name: "limits",
  frames: [],
  offer: ({ maxMessageBytes }) => ({ message_bytes: maxMessageBytes }),
  accept(theirs) {
    const bytes = isMap(theirs) ? theirs["message_bytes"] : undefined;
    return Number.isSafeInteger(bytes) && (bytes as number) >= MIN_MESSAGE_BYTES
      ? { message_bytes: bytes as number }
      : null;
  },
  attach(connection, theirs) {
    if (theirs !== null) connection.maxPeerPayloadBytes = theirs.message_bytes;
  },
};
