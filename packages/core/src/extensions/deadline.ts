/** RPC_REQUEST contains `timeout_ms`, so that a handler knows how long its caller waits. */

import { acceptWithoutParams, type Extension } from "../connection/extension.ts";

export const deadline: Extension<true, true> = {
  name: "deadline",
  frames: [],
  offer: () => true,
  accept: acceptWithoutParams,
  attach(connection) {
    connection.usesDeadlines = true;
    return true;
  },
};
