/** RPC_REQUEST contains `timeout_ms`, the time that the caller will wait. */

import { acceptWithoutParams, type Extension, type ExtensionHost } from "../connection/extension.ts";

export const deadline: Extension<true, ExtensionHost> = {
  name: "deadline",
  frames: [],
  offer: () => true,
  accept: acceptWithoutParams,
  enables: "usesDeadlines",
};
