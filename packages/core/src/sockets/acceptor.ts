import { formatAddress, formatEndpoint } from "../bytes/address.ts";
import type { ConduitError } from "../errors.ts";
import type { ListenEvents, ListenTarget } from "../runtime.ts";
import { TLS_HANDSHAKE_TIMEOUT } from "./error-codes.ts";
import { clientCertificateError, codedError, goneError, handshakesFullError } from "./socket-errors.ts";
import type { SocketOperations } from "./socket-operations.ts";
import type { SocketOwner } from "./socket-owner.ts";
import { serverFacts } from "./stream-facts.ts";
import { refusesClientCertificate } from "./tls-material.ts";
import { type ServerTls, type TlsSession, tlsInfo } from "./tls-settings.ts";

/**
 * Turns accepted sockets into streams, or drops them. A runtime calls `accept` for plaintext and `handshake` for TLS.
 * If the runtime's own handshakes have a timeout and exactly one outcome, it calls `beginHandshake` instead, followed
 * by `secured` or `handshakeFailed`.
 */
export class Acceptor<S> implements SocketOwner {
  readonly target: ListenTarget;
  /** Null for plaintext. */
  readonly tls: ServerTls | null;
  readonly handshakeTimeoutMs: number;
  readonly #operations: SocketOperations<S>;
  readonly #events: ListenEvents;
  #handshakes = 0;
  readonly #pending = new Set<Handshake<S>>();
  #isClosed = false;

  constructor(
    operations: SocketOperations<S>,
    target: ListenTarget,
    events: ListenEvents,
    facts: { readonly tls: ServerTls | null; readonly handshakeTimeoutMs: number },
  ) {
    this.#operations = operations;
    this.target = target;
    this.#events = events;
    this.tls = facts.tls;
    this.handshakeTimeoutMs = facts.handshakeTimeoutMs;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** A plaintext client has connected. */
  accept(socket: S): void {
    this.#accept(socket, null);
  }

  /**
   * Starts tracking a client's TLS handshake. It is dropped on timeout, and when the listener closes.
   * @returns the owner to report the outcome to; null if the socket was discarded, at the limit or after `close`
   */
  handshake(socket: S): Handshake<S> | null {
    if (this.#isClosed || !this.beginHandshake()) {
      this.#operations.discard(socket, false);
      return null;
    }
    const { timers } = this.#operations;
    const handshake: Handshake<S> = new Handshake(socket, this, () => {
      timers.clearTimeout(timer);
      this.#pending.delete(handshake);
    });
    const timer = timers.setTimeout(() => handshake.timedOut(), this.handshakeTimeoutMs);
    this.#pending.add(handshake);
    return handshake;
  }

  /** @returns false if the limit is reached. That is reported; the caller must discard the socket */
  beginHandshake(): boolean {
    const limit = this.target.maxPendingHandshakes ?? Number.POSITIVE_INFINITY;
    if (this.#handshakes < limit) {
      this.#handshakes += 1;
      return true;
    }
    this.#report(handshakesFullError(limit));
    return false;
  }

  /**
   * A handshake succeeded.
   * @param refusal the problem with the client's certificate, which the runtime accepted nevertheless
   */
  secured(socket: S, refusal?: unknown): void {
    this.#handshakes -= 1;
    const session = this.#operations.session(socket, "server");
    const certificate = { presented: session.certificate !== undefined, verified: session.verified && !refusal };
    if (this.target.tls !== null && refusesClientCertificate(this.target.tls, certificate)) {
      const cause = refusal instanceof Error ? refusal : undefined;
      this.#drop(socket, this.#certificateError(socket, refusal ?? "none was presented", cause), true);
    } else {
      this.#accept(socket, session);
    }
  }

  /**
   * A handshake failed.
   * @param refusal the problem with the client's certificate, if the runtime reports one
   */
  handshakeFailed(socket: S, cause: unknown, refusal?: unknown): void {
    this.#handshakes -= 1;
    const error = refusal
      ? this.#certificateError(socket, refusal, cause)
      : this.#operations.errors.serverHandshake(cause, this.#nameOf(socket));
    this.#drop(socket, error, true);
  }

  /** Accepting failed, for example for lack of file descriptors. The listener continues. */
  failed(cause: unknown): void {
    this.#report(this.#operations.errors.accept(cause, this.target));
  }

  /** Stops reporting connections, and drops those that aren't ready. */
  close(): void {
    this.#isClosed = true;
    for (const handshake of this.#pending) handshake.gone();
  }

  #accept(socket: S, session: TlsSession | null): void {
    const tls = session === null ? null : tlsInfo(session);
    const facts = this.#isClosed ? null : serverFacts(this.target, this.#operations.ends(socket), tls);
    if (facts === null) this.#drop(socket, goneError("A client was gone before it was accepted"), false);
    else this.#events.accepted(this.#operations.stream(socket, facts));
  }

  #certificateError(socket: S, refusal: unknown, cause: unknown): ConduitError {
    const reason = refusal instanceof Error ? refusal.message : String(refusal);
    return clientCertificateError(this.#nameOf(socket), reason, cause);
  }

  #drop(socket: S, error: ConduitError, mayFlush: boolean): void {
    this.#operations.discard(socket, mayFlush);
    this.#report(error);
  }

  #report(error: ConduitError): void {
    if (!this.#isClosed) this.#events.failed(error);
  }

  #nameOf(socket: S): string {
    const ends = this.#operations.ends(socket);
    if (ends !== null) return formatAddress(ends.remote);
    return this.target.path === undefined ? "(gone)" : formatEndpoint(this.target);
  }
}

/** A client's TLS handshake in progress. Only its first outcome counts. */
export class Handshake<S> implements SocketOwner {
  readonly #socket: S;
  readonly #acceptor: Acceptor<S>;
  readonly #onSettled: () => void;
  #isSettled = false;

  constructor(socket: S, acceptor: Acceptor<S>, onSettled: () => void) {
    this.#socket = socket;
    this.#acceptor = acceptor;
    this.#onSettled = onSettled;
  }

  ready(refusal?: unknown): void {
    if (this.#settle()) this.#acceptor.secured(this.#socket, refusal);
  }

  failed(cause: unknown): void {
    if (this.#settle()) this.#acceptor.handshakeFailed(this.#socket, cause);
  }

  gone(cause?: unknown): void {
    this.failed(cause ?? codedError("ECONNRESET", "the client closed the connection"));
  }

  timedOut(): void {
    const { handshakeTimeoutMs } = this.#acceptor;
    this.failed(codedError(TLS_HANDSHAKE_TIMEOUT, `not finished within ${handshakeTimeoutMs} ms`));
  }

  #settle(): boolean {
    if (this.#isSettled) return false;
    this.#isSettled = true;
    this.#onSettled();
    return true;
  }
}
