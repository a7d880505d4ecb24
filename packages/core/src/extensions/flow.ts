/** PAUSE and RESUME: a receiver asks its peer to hold messages and requests back. Replies and control frames go on. */

import type { Extension, ExtensionHost } from "../connection/extension.ts";
import { FrameType } from "../wire/constants.ts";

export const flow: Extension<true, ExtensionHost> = {
  name: "flow",
  frames: [{ type: FrameType.PAUSE }, { type: FrameType.RESUME }],
  // A netconduit peer may send both, and is obeyed. It gets none.
  isBase: true,
  offer: () => true,
  accept: (theirs) => (theirs === true ? true : null),
  attach(connection, params) {
    if (params !== null && connection.settings.enableBackpressure) {
      connection.onReceivePressure = (isHigh) =>
        connection.sendControl(isHigh ? FrameType.PAUSE : FrameType.RESUME, 0, 0);
    }
    return connection;
  },
  receive: (connection, frame) => connection.setHeldByPeer(frame.type === FrameType.PAUSE),
  // Behind CLOSE nothing is read, so frames that PAUSE holds back go first.
  closing: (connection) => connection.setHeldByPeer(false),
};
