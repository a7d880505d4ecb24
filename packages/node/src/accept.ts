import { channel } from "node:diagnostics_channel";
import { type Server, Socket } from "node:net";
import { acceptHandles } from "@netconduit/core/adapter";
import { nobody, own, sharedReads } from "./socket-stream.ts";

const accepted = channel("net.server.socket");

/**
 * Accepts the connections of a server that does not listen yet, if possible with sockets that read as {@link sharedReads}
 * says.
 */
export function acceptWithSharedReads(server: Server, bufferSize: number, accept: (socket: Socket) => void): void {
  // From the beginning: a worker of a cluster may be given connections before it has heard that it listens.
  server.on("connection", accept);
  if (!sharedReads.isPossible) return;
  const options = { ...sharedReads.options(bufferSize), highWaterMark: bufferSize, manualStart: true };
  const makeSocket = (whole: object): Socket => new Socket(whole);
  server.once("listening", () =>
    acceptHandles(server, options, makeSocket, (socket) => {
      own(socket, nobody);
      accept(socket);
      if (accepted.hasSubscribers) accepted.publish({ socket });
    }),
  );
}
