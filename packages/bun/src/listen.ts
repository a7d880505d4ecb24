import { setImmediate } from "node:timers/promises";
import type { Acceptor, BindAddress, BoundSocket, SocketOwner } from "@netconduit/core/adapter";
import type { TCPSocketListener } from "bun";
import { serverEvents } from "./socket-events.ts";
import type { EventSocket } from "./tls.ts";

/** Binds a server's socket. Its clients' events report to the acceptor. Bun doesn't report a lack of file descriptors. */
export async function bind(at: BindAddress, acceptor: Acceptor<EventSocket>): Promise<BoundSocket> {
  const { tls } = acceptor;
  const options = {
    socket: serverEvents,
    data: acceptor as SocketOwner,
    allowHalfOpen: true,
    ...(tls === null ? {} : { tls }),
  };
  const listener =
    at.path === undefined
      ? // Without `exclusive`, a second process could bind the same port.
        Bun.listen({ ...options, hostname: at.host, port: at.port, exclusive: true })
      : Bun.listen({ ...options, unix: at.path });
  return {
    port: (listener as TCPSocketListener).port,
    async close() {
      // Closes the listening descriptor (and removes a Unix socket's file) synchronously; accepted sockets stay open.
      listener.stop();
      await setImmediate();
    },
    ref: () => listener.ref(),
    unref: () => listener.unref(),
  };
}
