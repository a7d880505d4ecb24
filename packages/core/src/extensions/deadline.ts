/** RPC_REQUEST carries `timeout_ms`, so that a handler knows when its caller gives up. */

import type { Extension } from "../connection/extension.ts";

export const deadline: Extension<true, true> = {
  name: "deadline",
  frames: [],
  offer: () => true,
  accept: (theirs) => (theirs === true ? true : null),
  attach(connection) {
    connection.sendsDeadlines = true;
    return true;
  },
};
