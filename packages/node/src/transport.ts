import { createPrivateKey, X509Certificate } from "node:crypto";
import { lookup } from "node:dns/promises";
import * as fs from "node:fs/promises";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { descriptorLimit, filesOf, makeTransport, type Transport, tcpEnds } from "@netconduit/core/adapter";
import { open } from "./connect.ts";
import { errors } from "./errors.ts";
import { bind } from "./listen.ts";
import { nobody, SocketStream, setOwner } from "./socket-stream.ts";

/** Connects and listens over TCP and Unix sockets, with TLS if the target says so. */
export const transport: Transport = makeTransport<Socket>({
  errors,
  files: filesOf(fs),
  pemCrypto: { createPrivateKey, X509Certificate },
  timers: globalThis,
  resolve: async (host, family) => (await lookup(host, { family, all: true })).map(({ address }) => address),
  opensFamily: true,
  descriptorLimit: () => descriptorLimit(filesOf(fs).readText, process.report),
  open,
  bind,
  stream: (socket, facts) => new SocketStream(socket, facts),
  ends: tcpEnds,
  session(plain) {
    const socket = plain as TLSSocket;
    const certificate = socket.getPeerX509Certificate()?.toLegacyObject();
    // On some versions `authorized` doesn't imply that the peer presented a certificate.
    return { protocol: socket.getProtocol(), verified: socket.authorized && certificate !== undefined, certificate };
  },
  discard(socket) {
    // Keep an "error" listener: without one the event would end the process.
    setOwner(socket, nobody);
    socket.destroy();
  },
});
