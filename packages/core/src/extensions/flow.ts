/**
 * PAUSE and RESUME of a netconduit peer: it asks this side to hold back messages and requests. Replies and control
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
  // The peer reads nothing after the end of the stream, so frames held back by PAUSE go first.
  closing: (connection) => connection.setPausedByPeer(false),
};
