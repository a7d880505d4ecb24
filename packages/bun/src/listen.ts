import { isIP } from "node:net";
import { ConduitError, ErrorCode, type ListenEvents, type Listener, type ListenTarget } from "@netconduit/core/adapter";
import type { TCPSocketListener, TLSOptions, UnixSocketListener } from "bun";
import { codeOf, endpointName } from "./bun-error.ts";
import { resolveHost } from "./resolve-host.ts";
import { listenError } from "./socket-error.ts";
import { type EventSocket, type SocketEvents, socketHandler } from "./socket-events.ts";
import { SocketStream } from "./socket-stream.ts";
import { tcpAddresses } from "./tcp-addresses.ts";
import {
  hasPeerCertificate,
  materialError,
  protocolError,
  TLS_HANDSHAKE_TIMEOUT_MS,
  tlsInfo,
  tlsServerOptions,
} from "./tls.ts";
import { clientCertificateError, serverHandshakeError } from "./tls-error.ts";
import { removeStaleSocket } from "./unix-socket.ts";

type BunListener = TCPSocketListener<SocketEvents> | UnixSocketListener<SocketEvents>;

/**
 * Listens on TCP or a Unix socket, with TLS if the target says so. Connections that end before they are ready are
 * reported by `failed`; that the system has run out of descriptors Bun does not tell.
 * @throws ConduitError ADDRESS_IN_USE, ADDRESS_UNAVAILABLE, INVALID_CONFIG (TLS material, host).
 */
export async function listen(
  target: ListenTarget,
  events: ListenEvents,
  handshakeTimeoutMs: number = TLS_HANDSHAKE_TIMEOUT_MS,
): Promise<Listener> {
  const where = endpointName(target);
  const hostname = target.path === undefined ? await listenHost(target, where) : target.host;
  const secure = target.tls === null ? null : await tlsServerOptions(target.tls);
  const acceptor = new Acceptor(target, events, handshakeTimeoutMs);
  let listener: BunListener;
  try {
    listener = bound(target, hostname, secure, acceptor);
  } catch (cause) {
    if (codeOf(cause) !== "EADDRINUSE" || target.path === undefined) throw failure(cause, where);
    await removeStaleSocket(target.path);
    try {
      listener = bound(target, hostname, secure, acceptor);
    } catch (again) {
      throw failure(again, where);
    }
  }
  return new SocketListener(listener, hostname, acceptor);
}

function failure(cause: unknown, where: string): ConduitError {
  return materialError(cause) ?? listenError(cause, where);
}

/** The address to bind. Bun would take a name's first address of any family. */
async function listenHost({ host, ipv6 }: ListenTarget, where: string): Promise<string> {
  const family = ipv6 ? 6 : 4;
  const kind = isIP(host);
  if (kind !== 0 && kind !== family) {
    const message = `Cannot listen on ${where}: host is an IPv${kind} address but ipv6 is ${ipv6}`;
    throw new ConduitError(ErrorCode.INVALID_CONFIG, message);
  }
  try {
    return (await resolveHost(host, family))[0];
  } catch (cause) {
    throw listenError(cause, where);
  }
}

function bound(target: ListenTarget, hostname: string, secure: TLSOptions | null, acceptor: Acceptor): BunListener {
  const options = {
    socket: socketHandler,
    // Every accepted socket begins with this as its `data`.
    data: acceptor as SocketEvents,
    allowHalfOpen: true,
    ...(secure === null ? {} : { tls: secure }),
  };
  if (target.path !== undefined) return Bun.listen({ ...options, unix: target.path });
  // Not exclusive, a second process could bind the same port.
  return Bun.listen({ ...options, hostname, port: target.port, exclusive: true });
}

/** Turns accepted sockets into streams, or drops them. */
class Acceptor implements SocketEvents {
  readonly target: ListenTarget;
  readonly handshakeTimeoutMs: number;
  readonly #events: ListenEvents;
  #closed = false;

  constructor(target: ListenTarget, events: ListenEvents, handshakeTimeoutMs: number) {
    this.target = target;
    this.#events = events;
    this.handshakeTimeoutMs = handshakeTimeoutMs;
  }

  opened(socket: EventSocket): void {
    if (this.target.tls === null) this.accept(socket);
    else socket.data = new Handshake(socket, this);
  }

  accept(socket: EventSocket): void {
    const { path, bufferSize, tls } = this.target;
    const unix = { kind: "unix", path: path ?? "" } as const;
    const addresses = path === undefined ? tcpAddresses(socket) : { local: unix, remote: { ...unix, path: "" } };
    if (this.#closed || addresses === null) {
      this.dropped(new ConduitError(ErrorCode.CONNECTION_RESET, "A client was gone before it was accepted"));
      socket.terminate();
      return;
    }
    const facts = { ...addresses, tls: tls === null ? null : tlsInfo(socket), highWaterMark: bufferSize };
    this.#events.accepted(new SocketStream(socket, { ...facts, role: "server" }));
  }

  /** A connection that never became ready is thrown away. */
  dropped(error: ConduitError): void {
    if (!this.#closed) this.#events.failed(error);
  }

  /** From here on nobody hears of new connections; those that are not ready are dropped when their handshake ends. */
  close(): void {
    this.#closed = true;
  }

  secured(socket: EventSocket): void {
    // A socket has a `data` of its own once it is open: not one that slipped through.
    socket.terminate();
  }

  received(): void {
    // As above; what is dropped may still say something.
  }

  writable(): void {
    // There is nothing to write.
  }

  ended(): void {
    // What is dropped may end as it likes.
  }

  failed(cause: Error): void {
    this.dropped(new ConduitError(ErrorCode.CONNECTION_ERROR, `Cannot accept a client: ${cause.message}`, { cause }));
  }

  gone(): void {
    // It was dropped.
  }
}

/** An accepted connection during its TLS handshake. */
class Handshake implements SocketEvents {
  readonly #socket: EventSocket;
  readonly #acceptor: Acceptor;
  readonly #timer: NodeJS.Timeout;
  /** Its outcome is known. */
  #settled = false;

  constructor(socket: EventSocket, acceptor: Acceptor) {
    this.#socket = socket;
    this.#acceptor = acceptor;
    // It must not keep a process alive whose listener has closed.
    socket.unref();
    this.#timer = setTimeout(() => this.#timedOut(), acceptor.handshakeTimeoutMs);
    this.#timer.unref();
  }

  opened(): void {
    // It was: that made this.
  }

  secured(socket: EventSocket, success: boolean, authorizationError: Error | null): void {
    if (this.#settled) return;
    const options = this.#acceptor.target.tls;
    const required = options?.requireClientCertificate === true;
    if (!success) {
      const cause = authorizationError ?? new Error("the handshake failed");
      this.#drop(serverHandshakeError(cause, this.#name()));
      return;
    }
    const tooOld = protocolError(socket);
    if (tooOld !== null) {
      this.#drop(serverHandshakeError(tooOld, this.#name()));
      return;
    }
    // Fails closed: an optional certificate that does not verify is refused like a required one that is missing.
    const presented = hasPeerCertificate(socket);
    const verified = presented && socket.authorized && !authorizationError;
    if (options?.ca !== undefined && !verified && (required || presented)) {
      const reason = authorizationError?.message ?? "none was presented";
      this.#drop(clientCertificateError(this.#name(), reason, authorizationError ?? undefined));
      return;
    }
    this.#settle();
    socket.ref();
    this.#acceptor.accept(socket);
  }

  received(): void {
    // Nothing comes before the handshake is over.
  }

  writable(): void {
    // There is nothing to write.
  }

  ended(): void {
    this.#socket.close();
  }

  failed(cause: Error): void {
    this.#drop(serverHandshakeError(cause, this.#name()));
  }

  gone(cause: Error | undefined): void {
    const what = cause ?? Object.assign(new Error("the client closed the connection"), { code: "ECONNRESET" });
    this.#drop(serverHandshakeError(what, this.#name()));
  }

  #timedOut(): void {
    const cause = new Error(`it was not finished within ${this.#acceptor.handshakeTimeoutMs} ms`);
    this.#drop(serverHandshakeError(Object.assign(cause, { code: "ERR_TLS_HANDSHAKE_TIMEOUT" }), this.#name()));
  }

  #drop(error: ConduitError): void {
    if (this.#settled) return;
    this.#settle();
    this.#acceptor.dropped(error);
    // Not `terminate`: a TLS alert may be on its way.
    this.#socket.close();
  }

  #settle(): void {
    this.#settled = true;
    clearTimeout(this.#timer);
  }

  #name(): string {
    const remote = tcpAddresses(this.#socket)?.remote;
    return remote?.kind === "tcp" ? endpointName(remote) : (this.#acceptor.target.path ?? "(gone)");
  }
}

class SocketListener implements Listener {
  readonly address: Listener["address"];
  readonly #listener: BunListener;
  readonly #acceptor: Acceptor;
  #closing: Promise<void> | null = null;

  constructor(listener: BunListener, host: string, acceptor: Acceptor) {
    this.address =
      "unix" in listener && listener.unix !== undefined
        ? { host: "", port: 0, path: listener.unix }
        : { host, port: (listener as TCPSocketListener).port };
    this.#listener = listener;
    this.#acceptor = acceptor;
  }

  close(): Promise<void> {
    this.#closing ??= new Promise((resolve) => {
      this.#acceptor.close();
      // Closes the listening descriptor (and removes a Unix socket's file) before it returns; accepted sockets live on.
      this.#listener.stop();
      setImmediate(resolve);
    });
    return this.#closing;
  }
}
