/** netconduit with a handler that returns a promise. Only used by the regression check, to compare with a middleware. */
import type { Peer } from "../lib/peer.ts";
import { peer as plain, startServer } from "./netconduit.ts";

export const peer: Peer = {
  ...plain,
  name: "netconduit-async",
  title: "netconduit, asynchronous handler",
  startServer: (options) => startServer(options, { isAsync: true }),
};
