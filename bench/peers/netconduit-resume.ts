/** netconduit with `resume`. Only used by the regression check. */
import type { Peer } from "../lib/peer.ts";
import { connect, peer as plain, startServer } from "./netconduit.ts";

export const peer: Peer = {
  ...plain,
  name: "netconduit-resume",
  title: "netconduit, resume",
  startServer: (options) => startServer(options, { server: { resume: true } }),
  connect: (target, options) => connect(target, options, { client: { reconnect: { enabled: true }, resume: true } }),
};
