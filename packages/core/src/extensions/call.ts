/** The client also answers RPC_REQUEST. */

import { acceptWithoutParams, type Extension, type ExtensionHost } from "../connection/extension.ts";

export const call: Extension<true, ExtensionHost> = {
  name: "call",
  frames: [],
  offer: () => true,
  accept: acceptWithoutParams,
  enables: "callsClient",
};
