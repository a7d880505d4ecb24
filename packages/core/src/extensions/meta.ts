/** RPC_REQUEST and MESSAGE may contain `meta`, a small map of strings. */

import { acceptWithoutParams, type Extension, type ExtensionHost } from "../connection/extension.ts";

export const meta: Extension<true, ExtensionHost> = {
  name: "meta",
  frames: [],
  offer: () => true,
  accept: acceptWithoutParams,
  enables: "carriesMetadata",
};
