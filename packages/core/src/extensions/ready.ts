/** READY: the server's connect hooks have admitted the client. A server without hooks declines the extension. */

import { acceptWithoutParams, type Extension, type ExtensionHost } from "../connection/extension.ts";

/** No payload, from the server. */
export const READY_FRAME = 0x010a;

export const ready: Extension<true, ExtensionHost> = {
  name: "ready",
  frames: [{ type: READY_FRAME, maxPayloadBytes: 0, from: "server" }],
  offer: () => true,
  accept: acceptWithoutParams,
  receive: (connection) => connection.readyByPeer(),
};
