import { lookup } from "node:dns/promises";
import { createServer, isIP, type ListenOptions, type Server, type Socket } from "node:net";
import { createServer as createTlsServer, type TLSSocket } from "node:tls";
import { ConduitError, ErrorCode, type ListenEvents, type Listener, type ListenTarget } from "@netconduit/core/adapter";
import { codeOf, endpointName, ignore } from "./node-error.ts";
import { connectError, listenError } from "./socket-error.ts";
import { SocketStream } from "./socket-stream.ts";
import { tcpAddresses } from "./tcp-addresses.ts";
import { hasPeerCertificate, TLS_HANDSHAKE_TIMEOUT_MS, tlsInfo, tlsServerOptions } from "./tls.ts";
import { clientCertificateError, serverHandshakeError } from "./tls-error.ts";
import { removeStaleSocket } from "./unix-socket.ts";

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
  const where = endpointName(target);
  const endpoint = await listenOptions(target, where);
  const acceptor = new Acceptor(target, events);
  let server: Server;
  if (target.tls === null) {
    server = createServer({ highWaterMark: target.bufferSize });
    server.on("connection", (socket) => acceptor.accept(socket));
  } else {
    server = createTlsServer(await tlsServerOptions(target.tls, handshakeTimeoutMs));
    server.on("connection", (socket) => acceptor.handshaking(socket));
    server.on("secureConnection", (socket) => acceptor.secured(socket));
    server.on("tlsClientError", (error, socket) => acceptor.handshakeFailed(error, socket));
  }
  try {
    await bound(server, endpoint);
  } catch (cause) {
    if (codeOf(cause) !== "EADDRINUSE" || target.path === undefined) throw listenError(cause, where);
    await removeStaleSocket(target.path);
    await bound(server, endpoint).catch((again: unknown) => {
      throw listenError(again, where);
    });
  }
  // Accepting may fail later on (no file descriptors left). The listener goes on, and so does the process.
  server.on("error", (cause) => events.failed(connectError(cause, `a client of ${where}`)));
  return new SocketListener(server, acceptor);
}

async function listenOptions(target: ListenTarget, where: string): Promise<ListenOptions> {
  if (target.path !== undefined) return { path: target.path, backlog: BACKLOG };
  const family = target.ipv6 ? 6 : 4;
  let host = target.host;
  const kind = isIP(host);
  if (kind !== 0 && kind !== family) {
    const message = `Cannot listen on ${where}: host is an IPv${kind} address but ipv6 is ${target.ipv6}`;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
  }
  if (kind === 0) {
    try {
      // Node would take the first address of any family.
      host = (await lookup(host, { family })).address;
    } catch (cause) {
      throw listenError(cause, where);
    }
  }
  return { host, port: target.port, backlog: BACKLOG, ipv6Only: false };
}

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
  /** Clients whose TLS handshake is under way, by address and port: the TLS socket is not the one it began with. */
  readonly #handshaking = new Set<string>();
  #closed = false;

  constructor(target: ListenTarget, events: ListenEvents) {
    this.#target = target;
    this.#events = events;
  }

  accept(socket: Socket): void {
    const { path, bufferSize } = this.#target;
    const unix = { kind: "unix", path: path ?? "" } as const;
    const addresses = path === undefined ? tcpAddresses(socket) : { local: unix, remote: { ...unix, path: "" } };
    if (this.#closed || addresses === null) {
      const message = "A client was gone before it was accepted";
      this.#drop(socket, new ConduitError(ErrorCode.CONNECTION_RESET, message));
      return;
    }
    const tls = this.#target.tls === null ? null : tlsInfo(socket as TLSSocket);
    this.#events.accepted(
      new SocketStream(socket, {
        ...addresses,
        tls,
        role: "server",
        highWaterMark: bufferSize,
      }),
    );
  }

  /**
   * A TCP connection whose TLS handshake begins. It ends by the handshake or its timeout; until then it must not keep
   * a process alive whose listener has closed.
   */
  handshaking(socket: Socket): void {
    const limit = this.#target.maxPendingHandshakes ?? Number.POSITIVE_INFINITY;
    if (this.#handshaking.size >= limit) {
      const message = `${limit} TLS handshakes are under way`;
      this.#drop(socket, new ConduitError(ErrorCode.SERVER_FULL, message));
      return;
    }
    const client = clientOf(socket);
    this.#handshaking.add(client);
    socket.once("close", () => this.#handshaking.delete(client));
    socket.unref();
  }

  secured(socket: TLSSocket): void {
    this.#handshaking.delete(clientOf(socket));
    const options = this.#target.tls;
    const presented = hasPeerCertificate(socket);
    // Fails closed: an optional certificate that does not verify is refused like a required one that is missing.
    const refused = options?.ca !== undefined && !socket.authorized && presented;
    if (refused || (options?.requireClientCertificate === true && !(socket.authorized && presented))) {
      const reason: unknown = socket.authorizationError;
      this.#drop(socket, clientCertificateError(this.#nameOf(socket), String(reason ?? "none was presented")));
      return;
    }
    socket.ref();
    this.accept(socket);
  }

  handshakeFailed(cause: Error, socket: TLSSocket): void {
    this.#drop(socket, serverHandshakeError(cause, this.#nameOf(socket), socket.authorizationError));
  }

  #drop(socket: Socket, error: ConduitError): void {
    socket.on("error", ignore);
    socket.destroy();
    if (!this.#closed) this.#events.failed(error);
  }

  #nameOf(socket: Socket): string {
    const remote = tcpAddresses(socket)?.remote;
    return remote?.kind === "tcp" ? endpointName(remote) : (this.#target.path ?? "(gone)");
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
