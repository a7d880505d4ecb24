/** netconduit with one middleware around each call. Only used by the regression check. */
import type { Peer } from "../lib/peer.ts";
import { peer as plain, startServer } from "./netconduit.ts";

export const peer: Peer = {
  ...plain,
  name: "netconduit-middleware",
  title: "netconduit, one middleware",
  startServer: (options) =>
    startServer(options, { isAsync: true, prepare: (server) => void server.use((_context, next) => next()) }),
};
