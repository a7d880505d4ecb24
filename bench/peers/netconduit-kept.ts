/** netconduit whose application keeps the binary data that it receives, until it is garbage. */
import type { Peer } from "../lib/peer.ts";
import { netconduitPeer } from "./netconduit.ts";

export const peer: Peer = netconduitPeer(
  {
    name: "netconduit-kept",
    title: "netconduit, data kept",
    usage: "As above, without `recycle`: each message is received in memory of its own. Binary messages only.",
    scenarios: ["binary"],
  },
  false,
);
