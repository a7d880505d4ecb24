/** The client answers RPC_REQUEST too. */

import { acceptWithoutParams, type Extension, type ExtensionHost } from "../connection/extension.ts";

export const call: Extension<true, ExtensionHost> = {
  name: "call",
  frames: [],
  offer: () => true,
  accept: acceptWithoutParams,
  enables: "callsClient",
};
