/** The client answers RPC_REQUEST too. */

import type { Extension } from "../connection/extension.ts";

export const call: Extension<true, true> = {
  name: "call",
  frames: [],
  offer: () => true,
  accept: (theirs) => (theirs === true ? true : null),
  attach(connection) {
    connection.answersCalls = true;
    connection.acceptsCalls = true;
    return true;
  },
};
