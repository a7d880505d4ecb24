import { channel } from "node:diagnostics_channel";
import { lookup } from "node:dns/promises";
import * as fs from "node:fs/promises";
import { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import {
  endNames,
  filesOf,
  type Handle,
  handleOf,
  makeTransport,
  type Transport,
  tcpEnds,
} from "@netconduit/core/adapter";
import { open } from "./connect.ts";
import { handles } from "./handles.ts";
import { bind } from "./listen.ts";
import { errors } from "./node-error.ts";
import { nobody, own, SocketStream } from "./socket-stream.ts";

const opened = channel("net.client.socket");

/** Connects and listens over TCP and Unix sockets, with TLS if the target says so. */
export const transport: Transport = makeTransport<Socket | Handle>({
  errors,
  files: filesOf(fs),
  globals: globalThis,
  resolve: async (host, family) => [(await lookup(host, { family })).address],
  opensFamily: true,
  open(attempt) {
    // Who observes a client's socket is to see what becomes of it.
    const mayDial = attempt.tls === null && !opened.hasSubscribers;
    if (!mayDial || handles?.dial?.(attempt) !== true) open(attempt);
  },
  bind,
  stream(socket, facts) {
    const handle = handleOf(socket, facts, handles !== null && !opened.hasSubscribers);
    return handles === null || handle === null
      ? new SocketStream(socket as Socket, facts)
      : new handles.Stream(handle, facts);
  },
  ends: (socket, local, remote) => tcpEnds(endNames(socket, local !== null, remote !== null), local, remote),
  session(plain) {
    const socket = plain as TLSSocket;
    const certificate = socket.getPeerX509Certificate()?.toLegacyObject();
    // `authorized` alone does not say on every version whether the peer presented one at all.
    return { protocol: socket.getProtocol(), verified: socket.authorized && certificate !== undefined, certificate };
  },
  discard(socket) {
    if (socket instanceof Socket) {
      // An "error" event without a listener would end the process.
      own(socket, nobody);
      socket.destroy();
    } else {
      socket.close();
    }
  },
});
