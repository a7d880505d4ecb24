import type { Address } from "../bytes/byte-stream.ts";
import type { ConduitError } from "../errors.ts";
import type { ListenEvents, ListenTarget } from "../runtime.ts";
import { addressName, endpointName, tcpAddress } from "./addresses.ts";
import { clientCertificateError, goneError, handshakesFullError } from "./socket-errors.ts";
import type { SocketOwner } from "./socket-owner.ts";
import type { BoundSocket, Sockets } from "./sockets.ts";
import { serverFacts } from "./stream-facts.ts";
import { TlsHandshake } from "./tls-handshake.ts";
import { refusesClientCertificate } from "./tls-material.ts";
import { type ServerTls, type TlsSession, tlsInfo } from "./tls-settings.ts";

/** After accepting failed (no file descriptors left, say), it is tried again after so long, not in a busy loop. */
const ACCEPT_RETRY_MS = 100;

/**
 * Turns the sockets that a listener accepts into streams, or drops them. A runtime whose sockets are promises hands over
 * to `acceptAll`. Others call `accept` for plaintext, and with TLS `handshake`; or, if their own handshakes have a
 * timeout and exactly one outcome, `handshakeBegins` and then `secured` or `handshakeFailed`.
 */
export class Acceptor<S> implements SocketOwner {
  readonly target: ListenTarget;
  /** Null: plaintext. */
  readonly tls: ServerTls | null;
  readonly handshakeTimeoutMs: number;
  readonly sockets: Sockets<S>;
  readonly #events: ListenEvents;
  /** The near end of every connection; null: it is not known before there is one. */
  #local: Address | null = null;
  #handshakes = 0;
  readonly #pending = new Set<TlsHandshake<S>>();
  #isClosed = false;

  constructor(
    sockets: Sockets<S>,
    target: ListenTarget,
    events: ListenEvents,
    facts: { readonly tls: ServerTls | null; readonly handshakeTimeoutMs: number },
  ) {
    this.sockets = sockets;
    this.target = target;
    this.#events = events;
    this.tls = facts.tls;
    this.handshakeTimeoutMs = facts.handshakeTimeoutMs;
  }

  /** From here on nobody hears of connections. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** It listens there. Unless that is any address, no connection need be asked for its own. */
  bound({ host, port }: BoundSocket): void {
    if (this.target.path !== undefined || host === undefined || host === "0.0.0.0" || host === "::") return;
    this.#local = tcpAddress(host, port ?? 0);
  }

  /** A socket that is ready: a plaintext client's. */
  accept(socket: S): void {
    this.#accept(socket, null);
  }

  /**
   * Accepts what comes until it is closed, and resolves then. Never rejects.
   * @param next resolves to the next socket, and rejects when the listening socket is closed
   * @param secure has a TLS handshake with a socket
   */
  async acceptAll(next: () => Promise<S>, secure: (socket: S) => Promise<unknown>): Promise<void> {
    while (!this.#isClosed) {
      try {
        const socket = await next();
        if (this.tls === null) this.#accept(socket, null);
        else this.#secure(socket, secure);
      } catch (cause) {
        if (this.#isClosed) return;
        this.failed(cause);
        await new Promise<void>((resolve) => void this.sockets.globals.setTimeout(resolve, ACCEPT_RETRY_MS));
      }
    }
  }

  /** A client's TLS handshake begins. It has a timeout, and ends with the listener. Null: dropped, for lack of room or as it comes too late. */
  handshake(socket: S): TlsHandshake<S> | null {
    if (this.#isClosed || !this.handshakeBegins()) {
      this.sockets.discard(socket, false);
      return null;
    }
    const handshake = new TlsHandshake(socket, this);
    this.#pending.add(handshake);
    return handshake;
  }

  /** False: there is no room for one more handshake, which is reported; the socket is the caller's to discard. */
  handshakeBegins(): boolean {
    const limit = this.target.maxPendingHandshakes ?? Number.POSITIVE_INFINITY;
    if (this.#handshakes < limit) {
      this.#handshakes += 1;
      return true;
    }
    this.#report(handshakesFullError(limit));
    return false;
  }

  /**
   * A handshake has succeeded.
   * @param refusal what the runtime has against the client's certificate, which it let pass
   */
  secured(socket: S, refusal?: unknown): void {
    this.#handshakes -= 1;
    const session = this.sockets.session(socket, "server");
    const certificate = { presented: session.certificate !== undefined, verified: session.verified && !refusal };
    if (this.target.tls !== null && refusesClientCertificate(this.target.tls, certificate)) {
      const cause = refusal instanceof Error ? refusal : undefined;
      this.#drop(socket, this.#refusedError(socket, refusal ?? "none was presented", cause), true);
      return;
    }
    this.#accept(socket, session);
  }

  /**
   * A handshake has failed.
   * @param refusal what is wrong with the client's certificate, if the runtime says so
   */
  handshakeFailed(socket: S, cause: unknown, refusal?: unknown): void {
    this.#handshakes -= 1;
    const error = refusal
      ? this.#refusedError(socket, refusal, cause)
      : this.sockets.errors.serverHandshake(cause, this.#nameOf(socket));
    this.#drop(socket, error, true);
  }

  /** Accepting failed (no file descriptors left). The listener goes on, and so does the process. */
  failed(cause: unknown): void {
    this.#report(this.sockets.errors.connect(cause, `a client of ${endpointName(this.target)}`));
  }

  /** From here on nobody hears of new connections; those that are not ready are dropped. */
  close(): void {
    this.#isClosed = true;
    for (const handshake of this.#pending) handshake.gone();
  }

  /** For {@link TlsHandshake}: its outcome is known. */
  settled(handshake: TlsHandshake<S>): void {
    this.#pending.delete(handshake);
  }

  #secure(socket: S, secure: (socket: S) => Promise<unknown>): void {
    const handshake = this.handshake(socket);
    if (handshake === null) return;
    secure(socket).then(
      () => handshake.ready(),
      (cause: unknown) => handshake.failed(cause),
    );
  }

  #accept(socket: S, session: TlsSession | null): void {
    const tls = session === null ? null : tlsInfo(session);
    const ends = this.#isClosed ? null : this.sockets.ends(socket, this.#local, null);
    const facts = this.#isClosed ? null : serverFacts(this.target, ends, tls);
    if (facts === null) this.#drop(socket, goneError("A client was gone before it was accepted"), false);
    else this.#events.accepted(this.sockets.stream(socket, facts));
  }

  #refusedError(socket: S, refusal: unknown, cause: unknown): ConduitError {
    const reason = refusal instanceof Error ? refusal.message : String(refusal);
    return clientCertificateError(this.#nameOf(socket), reason, cause);
  }

  #drop(socket: S, error: ConduitError, mayFlush: boolean): void {
    this.sockets.discard(socket, mayFlush);
    this.#report(error);
  }

  #report(error: ConduitError): void {
    if (!this.#isClosed) this.#events.failed(error);
  }

  #nameOf(socket: S): string {
    const ends = this.sockets.ends(socket, null, null);
    return ends === null ? (this.target.path ?? "(gone)") : addressName(ends.remote);
  }
}
