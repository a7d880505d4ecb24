import { once } from "node:events";
import { type AddressInfo, createConnection, createServer, type Socket } from "node:net";
import { connect as connectTls, createServer as createTlsServer } from "node:tls";
import type { Certificates, Target } from "./peer.ts";

/** A bare TCP or TLS server, for the baselines. */
export interface PlainServer {
  readonly target: Target;
  readonly sockets: ReadonlySet<Socket>;
  close(): Promise<void>;
}

/** Starts a server that calls `accept` for each connection. */
export async function startPlainServer(
  tls: Certificates | null,
  accept: (socket: Socket) => void,
): Promise<PlainServer> {
  const sockets = new Set<Socket>();
  const accepted = (socket: Socket): void => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    accept(socket);
  };
  const server = tls === null ? createServer({ noDelay: true }, accepted) : createTlsServer(tls, accepted);
  server.listen({ port: 0, host: "127.0.0.1", backlog: 4096 });
  await once(server, "listening");
  return {
    target: { host: "127.0.0.1", port: (server.address() as AddressInfo).port },
    sockets,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/** Connects to a {@link PlainServer}. */
export async function connectPlain({ host, port }: Target, tls: Certificates | null): Promise<Socket> {
  const socket = tls === null ? createConnection({ port, host }) : connectTls({ port, host, ca: tls.ca });
  socket.setNoDelay(true);
  await once(socket, tls === null ? "connect" : "secureConnect");
  return socket;
}

/** Ends a connection; resolves when it is closed. */
export async function closePlain(socket: Socket): Promise<void> {
  if (socket.closed) return;
  socket.end();
  socket.resume();
  await once(socket, "close");
}
