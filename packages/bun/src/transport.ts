import { createPrivateKey, X509Certificate } from "node:crypto";
import * as fs from "node:fs/promises";
import { descriptorLimit, filesOf, makeTransport, type Transport, tcpEnds } from "@netconduit/core/adapter";
import { open } from "./connect.ts";
import { errors } from "./errors.ts";
import { bind } from "./listen.ts";
import { SocketStream } from "./socket-stream.ts";
import { type EventSocket, session } from "./tls.ts";

/** Connects and listens over TCP and Unix sockets, with TLS if the target says so. */
export const transport: Transport = makeTransport<EventSocket>({
  errors,
  files: filesOf(fs),
  pemCrypto: { createPrivateKey, X509Certificate },
  timers: globalThis,
  resolve: async (host, family) => (await Bun.dns.lookup(host, { family })).map(({ address }) => address),
  descriptorLimit: () => descriptorLimit(filesOf(fs).readText, process.report),
  open,
  bind,
  stream(socket, facts) {
    const stream = new SocketStream(socket, facts);
    socket.data = stream;
    if (facts.local.kind === "tcp") socket.setNoDelay(true);
    return stream;
  },
  ends: tcpEnds,
  session,
  discard(socket, mayFlush) {
    if (mayFlush) socket.close();
    else socket.terminate();
  },
});
