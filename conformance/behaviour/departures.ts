import type { RawPeer } from "../../packages/core/src/test-support/raw-peer.ts";
import { frame, Type } from "../../packages/core/src/testing/raw-frames.ts";

/** The ways in which a peer can disconnect. */
export const DEPARTURES: readonly (readonly [string, (peer: RawPeer) => void])[] = [
  ["says CLOSE", (peer) => peer.write(frame(Type.CLOSE, { reason: "bye" }))],
  ["closes its socket", (peer) => peer.end()],
  [
    "says CLOSE and closes its socket",
    (peer) => {
      peer.write(frame(Type.CLOSE));
      peer.end();
    },
  ],
  ["resets its socket", (peer) => peer.reset()],
  ["breaks the framing", (peer) => peer.write(new Uint8Array(64))],
];
