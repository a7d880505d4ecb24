import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { setImmediate } from "node:timers/promises";
import { createServer as createTlsServer } from "node:tls";
import { type Acceptor, type BindAddress, type BoundSocket, MIN_TLS_VERSION } from "@netconduit/core/adapter";

/** Room for thousands of clients that reconnect at once. Linux caps it at `net.core.somaxconn`. */
const BACKLOG = 4096;

/** Binds a server's socket, and passes its clients to the acceptor. */
export async function bind(at: BindAddress, acceptor: Acceptor<Socket>): Promise<BoundSocket> {
  const { tls, target } = acceptor;
  const server = createServer({ noDelay: true, highWaterMark: target.bufferSize });
  // Added before `listen`, because a cluster worker may receive connections before the "listening" event.
  server.on("connection", tls === null ? (socket) => acceptor.accept(socket) : handshakes(acceptor));
  server.listen({ ...at, backlog: BACKLOG, ipv6Only: false });
  await once(server, "listening");
  server.on("error", (cause) => acceptor.failed(cause));
  const { address, port } = server.address() as Partial<AddressInfo>;
  return {
    host: address,
    port,
    async close() {
      // Closes the listening descriptor (and removes a Unix socket's file) synchronously. Its callback and the "close"
      // event wait for accepted sockets, which stay open.
      server.close();
      await setImmediate();
    },
  };
}

/** Performs the TLS handshakes of accepted sockets. Node limits their time, and reports exactly one outcome of each. */
function handshakes(acceptor: Acceptor<Socket>): (socket: Socket) => void {
  const server = createTlsServer({
    ...acceptor.tls,
    minVersion: MIN_TLS_VERSION,
    handshakeTimeout: acceptor.handshakeTimeoutMs,
  });
  server.on("secureConnection", (socket) => acceptor.secured(socket.ref(), socket.authorizationError));
  // Node itself closes a connection with an unacceptable certificate, and only reports that it closed.
  server.on("tlsClientError", (cause, socket) => acceptor.handshakeFailed(socket, cause, socket.authorizationError));
  return (socket) => {
    // A handshake must not keep the process running once the listener has closed.
    if (acceptor.beginHandshake()) server.emit("connection", socket.unref());
    else socket.destroy();
  };
}
