/** CANCEL: the caller abandons the call or request with this correlation id, and its handler's signal fires. */

import { acceptWithoutParams, type Extension, type ExtensionHost } from "../connection/extension.ts";

/** No payload. */
export const CANCEL_FRAME = 0x0102;

export const cancel: Extension<true, ExtensionHost> = {
  name: "cancel",
  frames: [{ type: CANCEL_FRAME, maxPayloadBytes: 0 }],
  offer: () => true,
  accept: acceptWithoutParams,
  receive: (connection, frame) => connection.scheduler.cancel(frame.correlationHi, frame.correlationLo),
  callAbandoned(connection, idHi, idLo) {
    if (connection.isOpen) connection.sendControl(CANCEL_FRAME, idHi, idLo);
  },
};
