/**
 * The flag COMPRESSED: payloads are zlib streams. Both sides have to enable it; a compressed payload of a peer that it
 * wasn't agreed on with is refused. A netconduit peer negotiates nothing, so there the option alone decides.
 */

import { acceptWithoutParams, type Extension, type ExtensionHost } from "../connection/extension.ts";

export const compression: Extension<true, ExtensionHost> = {
  name: "compression",
  frames: [],
  isBase: true,
  offer: ({ enableCompression }) => (enableCompression ? true : null),
  accept: acceptWithoutParams,
  attach(connection, params) {
    if (params !== null || (connection.hasNetconduitPeer && connection.settings.enableCompression)) {
      connection.useCompression();
    }
  },
};
