/** RPC_REQUEST contains `timeout_ms`, so that a handler knows how long its caller waits. */

import { acceptWithoutParams, type Extension, type ExtensionHost } from "../connection/extension.ts";

export const deadline: Extension<true, ExtensionHost> = {
  name: "deadline",
  frames: [],
  offer: () => true,
  accept: acceptWithoutParams,
  enables: "usesDeadlines",
};
