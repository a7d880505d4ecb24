/** The client answers RPC_REQUEST too. */

import { acceptWithoutParams, type Extension } from "../connection/extension.ts";

export const call: Extension<true, true> = {
  name: "call",
  frames: [],
  offer: () => true,
  accept: acceptWithoutParams,
  attach(connection) {
    connection.answersCalls = true;
    connection.acceptsCalls = true;
    return true;
  },
};
