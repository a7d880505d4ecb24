import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import { setImmediate } from "node:timers/promises";
import { createServer as createTlsServer } from "node:tls";
import { type Acceptor, type BindAddress, type BoundSocket, MIN_TLS_VERSION } from "@netconduit/core/adapter";

/** A thousand clients that reconnect at once all find room; Linux reduces it to `net.core.somaxconn`. */
const BACKLOG = 4096;

/** Binds a server's socket, and hands its clients to the acceptor. */
export async function bind(at: BindAddress, acceptor: Acceptor<Socket>): Promise<BoundSocket> {
  const { tls, target } = acceptor;
  const server = createServer({ noDelay: true, highWaterMark: target.bufferSize });
  // Before `listen`: a worker of a cluster may be given connections before it has heard that it listens.
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
      // "close" event wait for accepted sockets, which live on.
      server.close();
      await setImmediate();
    },
  };
}

/** Has TLS handshakes with accepted sockets. Node bounds their time, and reports exactly one outcome of each. */
function handshakes(acceptor: Acceptor<Socket>): (socket: Socket) => void {
  const server = createTlsServer({
    ...acceptor.tls,
    minVersion: MIN_TLS_VERSION,
    handshakeTimeout: acceptor.handshakeTimeoutMs,
  });
  server.on("secureConnection", (socket) => acceptor.secured(socket.ref(), socket.authorizationError));
  // Node hangs up on an unacceptable certificate by itself, and reports just the hang-up.
  server.on("tlsClientError", (cause, socket) => acceptor.handshakeFailed(socket, cause, socket.authorizationError));
  return (socket) => {
    // A handshake must not keep the process running once the listener has closed.
    if (acceptor.beginHandshake()) server.emit("connection", socket.unref());
    else socket.destroy();
  };
}
