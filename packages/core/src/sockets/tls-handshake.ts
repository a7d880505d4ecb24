import type { Acceptor } from "./acceptor.ts";
import { TLS_HANDSHAKE_TIMEOUT } from "./error-codes.ts";
import { codedError } from "./socket-errors.ts";
import type { SocketOwner } from "./socket-owner.ts";

/** A client's TLS handshake under way, on a runtime that neither bounds its time nor tells its outcome just once. */
export class TlsHandshake<S> implements SocketOwner {
  readonly #socket: S;
  readonly #acceptor: Acceptor<S>;
  readonly #timer: unknown;
  #isSettled = false;

  constructor(socket: S, acceptor: Acceptor<S>) {
    this.#socket = socket;
    this.#acceptor = acceptor;
    const { handshakeTimeoutMs, sockets } = acceptor;
    this.#timer = sockets.globals.setTimeout(() => {
      this.failed(codedError(TLS_HANDSHAKE_TIMEOUT, `not finished within ${handshakeTimeoutMs} ms`));
    }, handshakeTimeoutMs);
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

  #settle(): boolean {
    if (this.#isSettled) return false;
    this.#isSettled = true;
    this.#acceptor.sockets.globals.clearTimeout(this.#timer);
    this.#acceptor.settled(this);
    return true;
  }
}
