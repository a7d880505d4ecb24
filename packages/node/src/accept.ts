import { channel } from "node:diagnostics_channel";
import type { Server, Socket } from "node:net";
import { acceptHandles, type Handle } from "@netconduit/core/adapter";
import { handles } from "./handles.ts";

const accepted = channel("net.server.socket");

/** Accepts the plaintext connections of a server that does not listen yet: as handles if possible, else as sockets. */
export function acceptPlaintext(server: Server, accept: (socket: Socket | Handle) => void): void {
  // From the beginning: a worker of a cluster may be given connections before it has heard that it listens.
  server.on("connection", accept);
  if (handles === null) return;
  // Who observes accepted sockets is to have them.
  server.once("listening", () => acceptHandles(server, accept, () => !accepted.hasSubscribers));
}
