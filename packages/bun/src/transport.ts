import * as fs from "node:fs/promises";
import { filesOf, makeTransport, PartialWriteStream, type Transport, tcpEnds } from "@netconduit/core/adapter";
import { errors } from "./bun-error.ts";
import { open } from "./connect.ts";
import { bind } from "./listen.ts";
import type { EventSocket } from "./socket-events.ts";
import { session } from "./tls.ts";

/** Connects and listens over TCP and Unix sockets, with TLS if the target says so. */
export const transport: Transport = makeTransport<EventSocket>({
  errors,
  files: filesOf(fs),
  globals: globalThis,
  resolve: async (host, family) => (await Bun.dns.lookup(host, { family })).map(({ address }) => address),
  open,
  bind,
  stream(socket, facts) {
    const stream = new PartialWriteStream(socket, facts, errors, discard);
    socket.data = stream;
    if (facts.local.kind === "tcp") socket.setNoDelay(true);
    return stream;
  },
  ends: (socket) => tcpEnds(socket),
  session,
  discard,
});

function discard(socket: EventSocket, mayFlush: boolean): void {
  if (mayFlush) socket.close();
  else socket.terminate();
}
