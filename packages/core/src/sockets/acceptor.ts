import { formatAddress, formatEndpoint } from "../bytes/address.ts";
import type { Address } from "../bytes/byte-stream.ts";
import type { ConduitError } from "../errors.ts";
import type { ListenEvents, ListenTarget } from "../runtime.ts";
import { networkOf } from "../util/ip-address.ts";
import { PendingByAddress } from "../util/pending-by-address.ts";
import { listenerEnd } from "./addresses.ts";
import { TLS_HANDSHAKE_TIMEOUT } from "./error-codes.ts";
import { clientCertificateError, codedError, goneError, handshakesFullError } from "./socket-errors.ts";
import type { SocketOperations } from "./socket-operations.ts";
import type { SocketOwner } from "./socket-owner.ts";
import { serverFacts } from "./stream-facts.ts";
import { refusesClientCertificate } from "./tls-material.ts";
import { type ServerTls, type TlsSession, tlsInfo } from "./tls-settings.ts";

/** Share of the available descriptors that handshakes may use. */
const HANDSHAKES_SHARE = 0.25;
const CLIENT_GONE = /^(ENOTCONN|ECONNABORTED)$/;
/** The system is out of descriptors, or of memory for sockets. */
const EXHAUSTED = /^(EMFILE|ENFILE|ENOBUFS|ENOMEM)$/;

/**
 * Turns accepted sockets into streams, or drops them. A runtime calls `accept` for plaintext and `handshake` for TLS.
 */
export class Acceptor<S> implements SocketOwner {
  readonly target: ListenTarget;
  readonly handshakeTimeoutMs: number;
  readonly #operations: SocketOperations<S>;
  readonly #events: ListenEvents;
  #tls: ServerTls | null;
  readonly #handshakes = new PendingByAddress<Handshake<S>>();
  /** The server's address, if it is the same for all connections. */
  #local: Address | null = null;
  #isClosed = false;
  readonly #maxHandshakes: number;
  /** At most {@link #maxHandshakes}; temporarily lower after the system ran out of descriptors. */
  #handshakeLimit: number;

  constructor(
    operations: SocketOperations<S>,
    target: ListenTarget,
    events: ListenEvents,
    facts: {
      readonly tls: ServerTls | null;
      readonly handshakeTimeoutMs: number;
      /** How many sockets the process has descriptors for. */
      readonly maxSockets?: number | undefined;
    },
  ) {
    this.#operations = operations;
    this.target = target;
    this.#events = events;
    this.#tls = facts.tls;
    this.handshakeTimeoutMs = facts.handshakeTimeoutMs;
    const { maxSockets = Number.POSITIVE_INFINITY } = facts;
    const forHandshakes = Math.max(1, Math.floor(maxSockets * HANDSHAKES_SHARE));
    this.#maxHandshakes = Math.min(target.maxPendingHandshakes ?? Number.POSITIVE_INFINITY, forHandshakes);
    this.#handshakeLimit = this.#maxHandshakes;
  }

  /** Null for plaintext. */
  get tls(): ServerTls | null {
    return this.#tls;
  }

  /** Replaces the TLS material of new handshakes. */
  useTls(tls: ServerTls): void {
    this.#tls = tls;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** The listener is bound to this address. */
  bound(host: string, port: number): void {
    this.#local = listenerEnd(host, port);
  }

  /** A plaintext client has connected. */
  accept(socket: S): void {
    this.#accept(socket, null);
  }

  /**
   * Starts tracking a client's TLS handshake, which is dropped on timeout or when the listener closes. At the limit,
   * drops the oldest one of the address that has most.
   * @returns the owner to report the outcome to; null after `close`, when the socket was discarded
   */
  handshake(socket: S): Handshake<S> | null {
    if (this.#isClosed) {
      this.#operations.discard(socket, false);
      return null;
    }
    const limit = this.#handshakeLimit;
    if (this.#handshakes.size >= limit) this.#handshakes.oldestOfLargest()?.evicted(limit);
    const { timers } = this.#operations;
    const remote = this.#operations.ends(socket, this.#local)?.remote;
    const address = remote?.kind === "tcp" ? networkOf(remote.host) : "";
    const handshake: Handshake<S> = new Handshake(socket, this, () => {
      timers.clearTimeout(timer);
      this.#handshakes.delete(handshake, address);
    });
    const timer = timers.setTimeout(() => handshake.timedOut(), this.handshakeTimeoutMs);
    this.#handshakes.add(handshake, address);
    return handshake;
  }

  /** A handshake was dropped for a newer one. */
  evicted(socket: S, limit: number): void {
    this.#drop(socket, handshakesFullError(this.#nameOf(socket), limit), false);
  }

  /**
   * A handshake succeeded.
   * @param refusal the problem with a client certificate that the runtime has accepted
   */
  secured(socket: S, refusal?: unknown): void {
    this.#handshakeLimit = Math.min(this.#handshakeLimit + 1, this.#maxHandshakes);
    const session = this.#operations.session(socket, "server");
    const certificate = { presented: session.certificate !== undefined, verified: session.verified && !refusal };
    if (this.#tls !== null && refusesClientCertificate(this.#tls, certificate)) {
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
    const error = refusal
      ? this.#certificateError(socket, refusal, cause)
      : this.#operations.errors.serverHandshake(cause, this.#nameOf(socket));
    this.#drop(socket, error, true);
  }

  /** Accepting failed, for example for lack of file descriptors. The listener continues. */
  failed(cause: unknown): void {
    const { errors } = this.#operations;
    const isGone = CLIENT_GONE.test(errors.codeOf(cause));
    const error = isGone
      ? goneError("A client disconnected before it was accepted")
      : errors.accept(cause, this.target);
    if (this.#isClosed || this.#events.exhausted === undefined || !EXHAUSTED.test(errors.codeOf(cause))) {
      this.#report(error);
      return;
    }
    this.#events.exhausted(error);
    this.#handshakeLimit = Math.max(1, Math.min(this.#handshakeLimit, Math.floor(this.#handshakes.size / 2)));
    while (this.#handshakes.size > this.#handshakeLimit) {
      this.#handshakes.oldestOfLargest()?.evicted(this.#handshakeLimit);
    }
  }

  /** Stops reporting connections, and drops those that aren't ready. */
  close(): void {
    this.#isClosed = true;
    for (const handshake of this.#handshakes.entries) handshake.closed();
  }

  #accept(socket: S, session: TlsSession | null): void {
    const tls = session === null ? null : tlsInfo(session);
    const facts = this.#isClosed ? null : serverFacts(this.target, this.#operations.ends(socket, this.#local), tls);
    if (facts === null) this.#drop(socket, goneError("A client disconnected before it was accepted"), false);
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
    const ends = this.#operations.ends(socket, this.#local);
    if (ends !== null) return formatAddress(ends.remote);
    return this.target.path === undefined ? "(disconnected)" : formatEndpoint(this.target);
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

  /** @param socket the socket to use from here on; default: the one that started the handshake */
  ready(refusal?: unknown, socket: S = this.#socket): void {
    if (this.#settle()) this.#acceptor.secured(socket, refusal);
  }

  failed(cause: unknown): void {
    if (this.#settle()) this.#acceptor.handshakeFailed(this.#socket, cause);
  }

  /** The handshake failed, possibly because of the client's certificate (`refusal`). */
  refused(cause: unknown, refusal: unknown, socket: S): void {
    if (this.#settle()) this.#acceptor.handshakeFailed(socket, cause, refusal);
  }

  /** The handshake was dropped for a newer one. */
  evicted(limit: number): void {
    if (this.#settle()) this.#acceptor.evicted(this.#socket, limit);
  }

  closed(cause?: unknown): void {
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
