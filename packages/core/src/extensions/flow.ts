/**
 * PAUSE and RESUME: a receiver asks its peer to hold back messages and requests. Replies and control frames continue.
 */

import { acceptWithoutParams, type Extension, type ExtensionHost } from "../connection/extension.ts";
import { FrameType } from "../wire/constants.ts";

interface State {
  readonly connection: ExtensionHost;
  readonly asksPeer: boolean;
}

export const flow: Extension<true, State> = {
  name: "flow",
  frames: [{ type: FrameType.PAUSE }, { type: FrameType.RESUME }],
  // Obey both frames from a netconduit peer, but send it none.
  isBase: true,
  offer: () => true,
  accept: acceptWithoutParams,
  attach: (connection, params) => ({
    connection,
    asksPeer: params !== null && connection.settings.enableBackpressure,
  }),
  receive: ({ connection }, frame) => connection.setHeldByPeer(frame.type === FrameType.PAUSE),
  receivePressure({ connection, asksPeer }, isHigh) {
    if (asksPeer) connection.sendControl(isHigh ? FrameType.PAUSE : FrameType.RESUME, 0, 0, "flow");
  },
  // The peer reads nothing after CLOSE, so frames held back by PAUSE go first.
  closing: ({ connection }) => connection.setHeldByPeer(false),
};
