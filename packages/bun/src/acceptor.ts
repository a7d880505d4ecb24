import {
  addressName,
  ConduitError,
  clientCertificateError,
  ErrorCode,
  goneError,
  handshakesFullError,
  type ListenEvents,
  type ListenTarget,
  refusesClientCertificate,
  serverFacts,
  TLS_HANDSHAKE_TIMEOUT,
  tcpEnds,
} from "@netconduit/core/adapter";
import { codedError, errors } from "./bun-error.ts";
import type { EventSocket, SocketEvents } from "./socket-events.ts";
import { SocketStream } from "./socket-stream.ts";
import { hasPeerCertificate, protocolError, tlsInfo } from "./tls.ts";

/** Turns accepted sockets into streams, or drops them. What is dropped keeps this as its `data`. */
export class Acceptor implements SocketEvents {
  readonly target: ListenTarget;
  readonly handshakeTimeoutMs: number;
  /** TLS handshakes under way. */
  handshakes = 0;
  readonly #events: ListenEvents;
  #closed = false;

  constructor(target: ListenTarget, events: ListenEvents, handshakeTimeoutMs: number) {
    this.target = target;
    this.#events = events;
    this.handshakeTimeoutMs = handshakeTimeoutMs;
  }

  opened(socket: EventSocket): void {
    const limit = this.target.maxPendingHandshakes ?? Number.POSITIVE_INFINITY;
    if (this.target.tls === null) {
      this.accept(socket);
    } else if (this.handshakes >= limit) {
      this.dropped(handshakesFullError(limit));
      socket.terminate();
    } else {
      socket.data = new Handshake(socket, this);
    }
  }

  secured(socket: EventSocket): void {
    // A socket has a `data` of its own once it is open: not one that slipped through.
    socket.terminate();
  }

  failed(cause: Error): void {
    this.dropped(new ConduitError(ErrorCode.CONNECTION_ERROR, `Cannot accept a client: ${cause.message}`, { cause }));
  }

  accept(socket: EventSocket): void {
    const tls = this.target.tls === null ? null : tlsInfo(socket);
    const facts = this.#closed ? null : serverFacts(this.target, tcpEnds(socket), tls);
    if (facts !== null) {
      this.#events.accepted(new SocketStream(socket, facts));
      return;
    }
    this.dropped(goneError("A client was gone before it was accepted"));
    socket.terminate();
  }

  /** A connection that never became ready is thrown away. */
  dropped(error: ConduitError): void {
    if (!this.#closed) this.#events.failed(error);
  }

  /** From here on nobody hears of new connections; those that are not ready are dropped when their handshake ends. */
  close(): void {
    this.#closed = true;
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
    acceptor.handshakes += 1;
    // It must not keep a process alive whose listener has closed.
    socket.unref();
    this.#timer = setTimeout(() => {
      this.failed(codedError(TLS_HANDSHAKE_TIMEOUT, `not finished within ${acceptor.handshakeTimeoutMs} ms`));
    }, acceptor.handshakeTimeoutMs);
    this.#timer.unref();
  }

  secured(socket: EventSocket, success: boolean, authorizationError: Error | null): void {
    if (this.#settled) return;
    const failure = success ? protocolError(socket) : (authorizationError ?? new Error("the handshake failed"));
    if (failure !== null) {
      this.failed(failure);
      return;
    }
    const { tls } = this.#acceptor.target;
    const certificate = {
      presented: hasPeerCertificate(socket),
      verified: socket.authorized && !authorizationError,
    };
    if (tls !== null && refusesClientCertificate(tls, certificate)) {
      const reason = authorizationError?.message ?? "none was presented";
      this.#drop(clientCertificateError(this.#name(), reason, authorizationError ?? undefined));
      return;
    }
    this.#settle();
    socket.ref();
    this.#acceptor.accept(socket);
  }

  ended(): void {
    this.#socket.close();
  }

  failed(cause: Error): void {
    this.#drop(errors.serverHandshake(cause, this.#name()));
  }

  gone(cause: Error | undefined): void {
    this.failed(cause ?? codedError("ECONNRESET", "the client closed the connection"));
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
    this.#acceptor.handshakes -= 1;
    clearTimeout(this.#timer);
  }

  #name(): string {
    const ends = tcpEnds(this.#socket);
    return ends === null ? (this.#acceptor.target.path ?? "(gone)") : addressName(ends.remote);
  }
}
