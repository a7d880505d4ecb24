import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { setImmediate } from "node:timers/promises";
import { createServer as createTlsServer } from "node:tls";
import { type Acceptor, type BindAddress, type BoundSocket, MIN_TLS_VERSION } from "@netconduit/core/adapter";

/** A thousand clients that reconnect at once all find room; Linux cuts it down to `net.core.somaxconn`. */
const BACKLOG = 4096;

/** Binds a server's socket, whose clients are the acceptor's. */
export async function bind(at: BindAddress, acceptor: Acceptor<Socket>): Promise<BoundSocket> {
  const { tls, target } = acceptor;
  const server = createServer({ highWaterMark: target.bufferSize });
  server.on("connection", tls === null ? (socket) => acceptor.accept(socket) : handshakes(acceptor));
  server.listen({ ...at, backlog: BACKLOG, ipv6Only: false });
  await once(server, "listening");
  server.on("error", (cause) => acceptor.failed(cause));
  const { address, port } = server.address() as Partial<AddressInfo>;
  return {
    host: address,
    port,
    async close() {
      // Closes the listening descriptor (and removes a Unix socket's file) before it returns. Its callback and the
      // "close" event wait for accepted sockets, and those live on.
      server.close();
      await setImmediate();
    },
  };
}

/** What has TLS handshakes with sockets that were accepted. */
function handshakes(acceptor: Acceptor<Socket>): (socket: Socket) => void {
  const server = createTlsServer({
    ...acceptor.tls,
    minVersion: MIN_TLS_VERSION,
    handshakeTimeout: acceptor.handshakeTimeoutMs,
  });
  // One of these two follows for each connection.
  server.on("secureConnection", (socket) => acceptor.secured(socket.ref(), socket.authorizationError));
  // Node hangs up on an unacceptable certificate by itself, and reports just the hang-up.
  server.on("tlsClientError", (cause, socket) => acceptor.handshakeFailed(socket, cause, socket.authorizationError));
  return (socket) => {
    // Until it is ready it must not keep a process alive whose listener has closed.
    if (acceptor.handshakeBegins()) server.emit("connection", socket.unref());
    else socket.destroy();
  };
}
