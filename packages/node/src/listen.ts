import { lookup } from "node:dns/promises";
import { lstat, unlink } from "node:fs/promises";
import {
  type AddressInfo,
  createServer,
  type ListenOptions,
  connect as netConnect,
  type Server,
  type Socket,
} from "node:net";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import {
  type Address,
  addressName,
  bindUnixSocket,
  type ConduitError,
  clientCertificateError,
  endpointName,
  goneError,
  handshakesFullError,
  type ListenEvents,
  type Listener,
  type ListenTarget,
  listenAddress,
  refusesClientCertificate,
  serverFacts,
  TLS_HANDSHAKE_TIMEOUT_MS,
  tcpAddress,
  tcpEnds,
  type UnixSocketFiles,
} from "@netconduit/core/adapter";
import { errors, ignore } from "./node-error.ts";
import { withSharedReads } from "./shared-reads.ts";
import { SocketStream } from "./socket-stream.ts";
import { hasPeerCertificate, tlsInfo, tlsServerOptions } from "./tls.ts";

/** A thousand clients that reconnect at once all find room; Linux cuts it down to `net.core.somaxconn`. */
const BACKLOG = 4096;

/**
 * Listens on TCP or a Unix socket, with TLS if the target says so. Connections that end before they are ready are
 * reported by `failed`.
 * @throws ConduitError ADDRESS_IN_USE, ADDRESS_UNAVAILABLE, INVALID_CONFIG (TLS material, host).
 */
export async function listen(
  target: ListenTarget,
  events: ListenEvents,
  handshakeTimeoutMs: number = TLS_HANDSHAKE_TIMEOUT_MS,
): Promise<Listener> {
  const acceptor = new Acceptor(target, events);
  let server: Server;
  if (target.tls === null) {
    // Paused, because nothing must be read before the socket is one that reads into shared memory.
    server = createServer({ highWaterMark: target.bufferSize, pauseOnConnect: true });
    server.on("connection", (accepted) => {
      const { socket, isFed } = withSharedReads(accepted, target.bufferSize);
      acceptor.accept(socket, isFed);
    });
  } else {
    server = createTlsServer(await tlsServerOptions(target.tls, handshakeTimeoutMs));
    server.on("connection", (socket) => acceptor.handshaking(socket));
    server.on("secureConnection", (socket) => acceptor.secured(socket));
    server.on("tlsClientError", (error, socket) => acceptor.handshakeFailed(error, socket));
  }
  const { path, port } = target;
  const where = endpointName(target);
  if (path !== undefined) {
    await bindUnixSocket(path, () => bound(server, { path, backlog: BACKLOG }), files, errors);
  } else {
    const host = await listenAddress(target, resolve, errors);
    await bound(server, { host, port, backlog: BACKLOG, ipv6Only: false }).catch((cause: unknown) => {
      throw errors.listen(cause, where);
    });
  }
  acceptor.bound(server.address());
  // Accepting may fail later on (no file descriptors left). The listener goes on, and so does the process.
  server.on("error", (cause) => events.failed(errors.connect(cause, `a client of ${where}`)));
  return new SocketListener(server, acceptor);
}

async function resolve(host: string, family: 4 | 6): Promise<string> {
  return (await lookup(host, { family })).address;
}

const files: UnixSocketFiles = {
  isSocket: async (path) => (await lstat(path)).isSocket(),
  knock: (path) =>
    new Promise((resolve, reject) => {
      const socket = netConnect({ path });
      socket.once("connect", () => {
        socket.destroy();
        resolve();
      });
      socket.on("error", reject);
    }),
  remove: unlink,
};

function bound(server: Server, endpoint: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const onListening = (): void => {
      server.off("error", onError);
      resolve();
    };
    const onError = (cause: Error): void => {
      server.off("listening", onListening);
      reject(cause);
    };
    server.once("listening", onListening).once("error", onError);
    try {
      server.listen(endpoint);
    } catch (cause) {
      server.off("listening", onListening).off("error", onError);
      reject(cause);
    }
  });
}

/** Turns accepted sockets into streams, or drops them. */
class Acceptor {
  readonly #target: ListenTarget;
  readonly #events: ListenEvents;
  /** The near end of every connection; null: it is not known before there is one. */
  #local: Address | null = null;
  /** Clients whose TLS handshake is under way, by address and port: the TLS socket is not the one it began with. */
  readonly #handshaking = new Set<string>();
  #closed = false;

  constructor(target: ListenTarget, events: ListenEvents) {
    this.#target = target;
    this.#events = events;
  }

  /** The server listens there. Unless that is any address, no connection need be asked for its own. */
  bound(address: AddressInfo | string | null): void {
    if (address === null || typeof address === "string") return;
    if (address.address !== "0.0.0.0" && address.address !== "::") {
      this.#local = tcpAddress(address.address, address.port);
    }
  }

  accept(socket: Socket, isFed: boolean): void {
    const tls = this.#target.tls === null ? null : tlsInfo(socket as TLSSocket);
    const facts = this.#closed ? null : serverFacts(this.#target, tcpEnds(socket, this.#local), tls);
    if (facts === null) this.#drop(socket, goneError("A client was gone before it was accepted"));
    else this.#events.accepted(new SocketStream(socket, facts, { isFed }));
  }

  /**
   * A TCP connection whose TLS handshake begins. It ends by the handshake or its timeout; until then it must not keep
   * a process alive whose listener has closed.
   */
  handshaking(socket: Socket): void {
    const limit = this.#target.maxPendingHandshakes ?? Number.POSITIVE_INFINITY;
    if (this.#handshaking.size >= limit) {
      this.#drop(socket, handshakesFullError(limit));
      return;
    }
    const client = clientOf(socket);
    this.#handshaking.add(client);
    socket.once("close", () => this.#handshaking.delete(client));
    socket.unref();
  }

  secured(socket: TLSSocket): void {
    this.#handshaking.delete(clientOf(socket));
    const { tls } = this.#target;
    const certificate = { presented: hasPeerCertificate(socket), verified: socket.authorized };
    if (tls !== null && refusesClientCertificate(tls, certificate)) {
      const reason: unknown = socket.authorizationError;
      this.#drop(socket, clientCertificateError(this.#nameOf(socket), String(reason ?? "none was presented")));
      return;
    }
    socket.ref();
    this.accept(socket, false);
  }

  handshakeFailed(cause: Error, socket: TLSSocket): void {
    const where = this.#nameOf(socket);
    // Node hangs up on an unacceptable certificate by itself, and reports just the hang-up.
    const refused: unknown = socket.authorizationError;
    this.#drop(
      socket,
      refused ? clientCertificateError(where, String(refused), cause) : errors.serverHandshake(cause, where),
    );
  }

  #drop(socket: Socket, error: ConduitError): void {
    socket.on("error", ignore);
    socket.destroy();
    if (!this.#closed) this.#events.failed(error);
  }

  #nameOf(socket: Socket): string {
    const ends = tcpEnds(socket);
    return ends === null ? (this.#target.path ?? "(gone)") : addressName(ends.remote);
  }

  /** From here on nobody hears of new connections; those that are not ready are dropped when their handshake ends. */
  close(): void {
    this.#closed = true;
  }
}

function clientOf(socket: Socket): string {
  return `${socket.remoteAddress} ${socket.remotePort}`;
}

class SocketListener implements Listener {
  readonly address: Listener["address"];
  readonly #server: Server;
  readonly #acceptor: Acceptor;
  #closing: Promise<void> | null = null;

  constructor(server: Server, acceptor: Acceptor) {
    const address = server.address();
    this.address =
      address !== null && typeof address === "object"
        ? { host: address.address, port: address.port }
        : { host: "", port: 0, path: address ?? "" };
    this.#server = server;
    this.#acceptor = acceptor;
  }

  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      this.#acceptor.close();
      // Closes the listening descriptor (and removes a Unix socket's file) before it returns. Its callback and the
      // "close" event wait for the accepted connections as well, and those live on.
      this.#server.close();
      setImmediate(resolve);
    });
    return this.#closing;
  }
}
