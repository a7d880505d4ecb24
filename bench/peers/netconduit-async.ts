/** netconduit whose handler returns a promise. Only the regression check measures it, beside one with a middleware. */
import type { Peer } from "../lib/peer.ts";
import { peer as plain, startServer } from "./netconduit.ts";

export const peer: Peer = {
  ...plain,
  name: "netconduit-async",
  title: "netconduit, asynchronous handler",
  startServer: (options) => startServer(options, { isAsync: true }),
};
