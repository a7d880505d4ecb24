/** netconduit with server features that the client doesn't use. Only used by the regression check. */
import type { Peer } from "../lib/peer.ts";
import { connect, library, peer as plain, startServer } from "./netconduit.ts";

export const peer: Peer = {
  ...plain,
  name: "netconduit-unused",
  title: "netconduit, unused features",
  async startServer(options) {
    const { memoryStore } = await library();
    return startServer(options, {
      server: {
        resume: { store: memoryStore() },
        users: { ada: { password: "another one", roles: ["admin"] } },
        enableCompression: true,
      },
      prepare(server) {
        const group = server.group().use(async (_context, next) => await next());
        group.rpc({ name: "unused", roles: ["admin"] }, () => null);
        server.onClientResume(() => undefined);
        server.onDeadLetter(() => undefined);
      },
    });
  },
  connect: (target, options) => connect(target, options),
};
