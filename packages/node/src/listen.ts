import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import process from "node:process";
import { setImmediate } from "node:timers/promises";
import { createServer as createTlsServer } from "node:tls";
import {
  ACCESS_DENIED,
  type Acceptor,
  type BindAddress,
  type BoundSocket,
  codedError,
  type Handshake,
  MIN_TLS_VERSION,
} from "@netconduit/core/adapter";

/** Room for thousands of clients that reconnect at once. Linux caps it at `net.core.somaxconn`. */
const BACKLOG = 4096;

/** Binds a server's socket, and passes its clients to the acceptor. */
export async function bind(at: BindAddress, acceptor: Acceptor<Socket>): Promise<BoundSocket> {
  const { tls, target } = acceptor;
  if (isNetForbidden()) throw codedError(ACCESS_DENIED, "Access to the network is not permitted; add --allow-net");
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

/** With `--permission`, Node.js from 25 on throws where no caller can catch it if `--allow-net` is missing. */
function isNetForbidden(): boolean {
  return process.permission?.has("net") === false && process.allowedNodeEnvironmentFlags.has("--allow-net");
}

/** Performs the TLS handshakes of accepted sockets. */
function handshakes(acceptor: Acceptor<Socket>): (socket: Socket) => void {
  const { tls, handshakeTimeoutMs: handshakeTimeout } = acceptor;
  const server = createTlsServer({ ...tls, minVersion: MIN_TLS_VERSION, handshakeTimeout });
  const pending = new Map<string, Handshake<Socket>>();
  /** The failure of a socket that is closed already and has no address any more. */
  let failure: { readonly cause: unknown; readonly refusal: unknown } | null = null;
  server.on("secureConnection", (socket) => {
    const handshake = pending.get(nameOf(socket));
    if (handshake !== undefined) handshake.ready(socket.authorizationError, socket.ref());
    else if (acceptor.target.path !== undefined) acceptor.secured(socket.ref(), socket.authorizationError);
    else socket.destroy();
  });
  // Node itself closes a connection with an unacceptable certificate, and only reports that it closed.
  server.on("tlsClientError", (cause, socket) => {
    const handshake = pending.get(nameOf(socket));
    if (handshake !== undefined) handshake.refused(cause, socket.authorizationError, socket);
    else if (acceptor.target.path === undefined) failure = { cause, refusal: socket.authorizationError };
    else acceptor.handshakeFailed(socket, cause, socket.authorizationError);
  });
  return (socket) => {
    // Clients of a Unix socket have no address to tell them apart by, so only Node's own timeout bounds them.
    if (acceptor.target.path === undefined) {
      const handshake = acceptor.handshake(socket);
      if (handshake === null) return;
      const name = nameOf(socket);
      pending.set(name, handshake);
      socket.once("close", async () => {
        pending.delete(name);
        // The TLS socket's failure is reported in the same turn, before or after this event.
        await setImmediate();
        if (failure === null) handshake.gone();
        else handshake.refused(failure.cause, failure.refusal, socket);
        failure = null;
      });
    }
    // A handshake must not keep the process running once the listener has closed.
    server.emit("connection", socket.unref());
  };
}

/** Node doesn't tell which socket a TLS socket is on, but both know the client's address. */
function nameOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress}:${remotePort}`;
}
