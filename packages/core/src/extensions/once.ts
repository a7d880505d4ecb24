/**
 * Identifies a server's set of `$once` keys, so that a client of several servers repeats a call only where its key is
 * known.
 */

import type { Extension } from "../connection/extension.ts";
import { isMap } from "../util/is-map.ts";

const MAX_CHARS = 64;

export interface OnceParams {
  /** Id of the set of keys; servers with the same id share their keys. Absent from a client, and from a server whose store failed. */
  readonly keys?: string | undefined;
}

/** Its state is the id of the server's keys; undefined if unknown. */
export const once: Extension<OnceParams, string> = {
  name: "once",
  frames: [],
  offer: () => ({}),
  answer: ({ onceKeys }) => {
    const keys = onceKeys?.() ?? null;
    return keys === null ? {} : { keys };
  },
  accept(theirs) {
    if (theirs === true) return {};
    if (!isMap(theirs)) return null;
    const { keys } = theirs;
    return typeof keys === "string" && keys !== "" && keys.length <= MAX_CHARS ? { keys } : {};
  },
  attach: (_connection, theirs) => theirs?.keys,
};
