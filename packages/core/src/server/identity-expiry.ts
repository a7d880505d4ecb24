/** Ends a connection when its user's identity expires, after requesting a new token in time. */

import { isPrivate, type LoginTransport } from "../auth/login-methods.ts";
import type { User } from "../auth/user.ts";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import { asError, ConduitError, ErrorCode } from "../errors.ts";
import { CREDENTIALS_EXPIRING_FRAME, type Renewal } from "../extensions/renewal.ts";
import { CallbackTimer } from "../util/time.ts";

/** A new token is requested when a third of the time is left, and no earlier than a minute before expiry. */
const ASK_SHARE = 1 / 3;
const MAX_ASK_MS = 60_000;
/** A day. Longer times are split into steps, because timers have a maximum. */
const MAX_STEP_MS = 86_400_000;
/** Minimum interval between checked tokens, because a check may be expensive. */
const CHECK_EVERY_MS = 1000;

type ExpiringConnection = Pick<
  ProtocolConnection<never>,
  "close" | "context" | "isOpen" | "isOver" | "isSuspended" | "sendPayload"
>;

/** The connection's server. */
export interface ExpiryHost {
  /** Unix milliseconds. */
  wallClock(): number;
  /** Returns the identity of a token; null if it is invalid or has expired. */
  userOf(token: string): Promise<User | null>;
  /** The client has sent a valid new token. */
  renewed(user: User): void;
  /** A new token was invalid, or couldn't be checked. */
  failed(error: Error): void;
}

export class IdentityExpiry {
  readonly #protocol: ExpiringConnection;
  /** Null if the client can't renew. */
  readonly #renewal: Renewal | null;
  readonly #host: ExpiryHost;
  readonly #name: string;
  #isOver = false;
  readonly #timer = new CallbackTimer(() => this.#due());
  #expiresAt: number;
  /** Unix milliseconds; infinite once a token was requested. */
  #askAt: number;
  #isChecking = false;
  /** Monotonic milliseconds. */
  #nextCheckAt = 0;

  /** @param transport the stream. Tokens are neither requested nor accepted over an insecure one */
  constructor(
    protocol: ExpiringConnection,
    transport: LoginTransport,
    renewal: Renewal | null,
    user: User,
    host: ExpiryHost,
  ) {
    this.#protocol = protocol;
    this.#renewal = isPrivate(transport) ? renewal : null;
    this.#host = host;
    this.#name = user.name;
    this.#expiresAt = user.expiresAt ?? Number.POSITIVE_INFINITY;
    this.#askAt = this.#askTime();
    if (this.#renewal !== null) this.#renewal.received = (token) => void this.#received(token);
    this.#schedule();
  }

  /** The connection has ended, or its client has logged in again. A running check has no effect. */
  end(): void {
    this.#isOver = true;
    if (this.#renewal !== null) this.#renewal.received = null;
    this.#cancel();
  }

  #cancel(): void {
    if (this.#timer.isScheduled) this.#protocol.context.wheel.cancel(this.#timer);
  }

  #askTime(): number {
    if (this.#renewal === null) return Number.POSITIVE_INFINITY;
    const leftMs = this.#expiresAt - this.#host.wallClock();
    return this.#expiresAt - Math.min(leftMs * ASK_SHARE, MAX_ASK_MS);
  }

  #schedule(): void {
    this.#cancel();
    const nextAt = Math.min(this.#expiresAt, this.#askAt);
    if (nextAt === Number.POSITIVE_INFINITY || this.#protocol.isOver) return;
    const delayMs = Math.max(1, Math.ceil(nextAt - this.#host.wallClock()));
    this.#protocol.context.wheel.schedule(this.#timer, Math.min(delayMs, MAX_STEP_MS));
  }

  #due(): void {
    const now = this.#host.wallClock();
    if (now >= this.#expiresAt) {
      // A suspended connection does nothing, and its client has to log in to resume it, which sets a new identity.
      if (this.#protocol.isSuspended) return;
      const message = `The identity of '${this.#name}' has expired`;
      void this.#protocol.close({ code: ErrorCode.IDENTITY_EXPIRED, message, reconnect: true });
      return;
    }
    if (now >= this.#askAt) {
      this.#askAt = Number.POSITIVE_INFINITY;
      const expires_in_ms = Math.ceil(this.#expiresAt - now);
      // A closing connection needs no new token.
      if (this.#protocol.isOpen) this.#protocol.sendPayload(CREDENTIALS_EXPIRING_FRAME, { expires_in_ms });
    }
    this.#schedule();
  }

  /** Checks one token at a time, and at most one a second, so that a client can't cause a flood of checks. */
  async #received(token: string): Promise<void> {
    const now = this.#protocol.context.runtime.now();
    if (this.#isChecking || now < this.#nextCheckAt) return;
    this.#isChecking = true;
    this.#nextCheckAt = now + CHECK_EVERY_MS;
    try {
      const user = await this.#host.userOf(token);
      if (this.#isOver || this.#protocol.isOver) return;
      if (user === null || user.name !== this.#name) {
        const what = user === null ? "an invalid token" : `a token of '${user.name}'`;
        throw new ConduitError(ErrorCode.AUTH_FAILED, `'${this.#name}' sent ${what} to renew its identity`);
      }
      this.#expiresAt = user.expiresAt ?? Number.POSITIVE_INFINITY;
      this.#askAt = this.#askTime();
      this.#host.renewed(user);
      this.#schedule();
    } catch (error) {
      if (!this.#isOver) this.#host.failed(asError(error));
    } finally {
      this.#isChecking = false;
    }
  }
}
