/**
 * The flag COMPRESSED marks payloads that are zlib streams. Both sides have to enable it; without agreement, a
 * compressed payload is rejected. With netconduit peers there is no negotiation, so the option alone decides.
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
