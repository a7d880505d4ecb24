import { channel } from "node:diagnostics_channel";
import { type Server, Socket } from "node:net";
import { acceptHandles } from "@netconduit/core/adapter";
import { nobody, own, sharedReads } from "./socket-stream.ts";

const accepted = channel("net.server.socket");

/** Accepts the connections of a server that listens, if possible with sockets that read as {@link sharedReads} says. */
export function acceptWithSharedReads(server: Server, bufferSize: number, accept: (socket: Socket) => void): void {
  server.on("connection", accept);
  if (!sharedReads.isPossible) return;
  const options = { ...sharedReads.options(bufferSize), highWaterMark: bufferSize, manualStart: true };
  const makeSocket = (whole: object): Socket => new Socket(whole);
  acceptHandles(server, options, makeSocket, (socket) => {
    own(socket, nobody);
    accept(socket);
    if (accepted.hasSubscribers) accepted.publish({ socket });
  });
}
