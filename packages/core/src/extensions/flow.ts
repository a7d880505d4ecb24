/**
 * PAUSE and RESUME, by which a netconduit peer asks this side to hold back messages and requests. Replies and control
 * frames continue. This side sends neither.
 */

import type { Extension, ExtensionHost } from "../connection/extension.ts";
import { FrameType } from "../wire/constants.ts";

export const flow: Extension<true, ExtensionHost> = {
  name: "flow",
  frames: [{ type: FrameType.PAUSE }, { type: FrameType.RESUME }],
  isBase: true,
  offer: () => null,
  accept: () => null,
  receive: (connection, frame) => connection.setPausedByPeer(frame.type === FrameType.PAUSE),
  // Send frames held back by PAUSE now, because the peer reads nothing after the end of the stream.
  closing: (connection) => connection.setPausedByPeer(false),
};
