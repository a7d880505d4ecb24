/** A MESSAGE with a correlation id requests one reply: RPC_RESPONSE or RPC_ERROR with that id. */

import type { Extension } from "../connection/extension.ts";

export const reply: Extension<true, true> = {
  name: "reply",
  frames: [],
  offer: () => true,
  accept: (theirs) => (theirs === true ? true : null),
  attach(connection) {
    connection.correlatesReplies = true;
    return true;
  },
};
