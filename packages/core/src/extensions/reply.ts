/** A MESSAGE with a correlation id requests one reply: RPC_RESPONSE or RPC_ERROR with that id. */

import { acceptWithoutParams, type Extension, type ExtensionHost } from "../connection/extension.ts";

export const reply: Extension<true, ExtensionHost> = {
  name: "reply",
  frames: [],
  offer: () => true,
  accept: acceptWithoutParams,
  enables: "correlatesReplies",
};
