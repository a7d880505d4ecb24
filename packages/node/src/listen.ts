import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import process from "node:process";
import { setImmediate } from "node:timers/promises";
import { ACCESS_DENIED, type Acceptor, type BindAddress, type BoundSocket, codedError } from "@netconduit/core/adapter";
import { tcpHandshakes, unixHandshakes } from "./tls-handshakes.ts";

/** Room for thousands of clients that reconnect at once. Linux caps it at `net.core.somaxconn`. */
const BACKLOG = 4096;

/** Binds a server's socket, and passes its clients to the acceptor. */
export async function bind(at: BindAddress, acceptor: Acceptor<Socket>): Promise<BoundSocket> {
  const { tls, target } = acceptor;
  if (isNetForbidden()) throw codedError(ACCESS_DENIED, "Access to the network is not permitted; add --allow-net");
  const server = createServer({ noDelay: true, highWaterMark: target.bufferSize });
  const handshakes = tls === null ? null : (target.path === undefined ? tcpHandshakes : unixHandshakes)(acceptor);
  // Added before `listen`, because a cluster worker may receive connections before the "listening" event.
  server.on("connection", (socket) => (handshakes === null ? acceptor.accept(socket) : handshakes.accept(socket)));
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
    ref: () => void server.ref(),
    unref: () => void server.unref(),
    tlsChanged: () => handshakes?.tlsChanged(),
  };
}

/** With `--permission`, Node.js from 25 on throws where no caller can catch it if `--allow-net` is missing. */
function isNetForbidden(): boolean {
  return process.permission?.has("net") === false && process.allowedNodeEnvironmentFlags.has("--allow-net");
}
