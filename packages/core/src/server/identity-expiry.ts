/** Ends a connection when its user's identity expires, and asks for a new token before that. */

import { isPrivate, type LoginTransport } from "../auth/login-methods.ts";
import type { User } from "../auth/user.ts";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import { asError, ConduitError, ErrorCode } from "../errors.ts";
import { CREDENTIALS_EXPIRING_FRAME, type Renewal } from "../extensions/renewal.ts";
import { CallbackTimer } from "../util/time.ts";

/** The client is asked a third of the remaining time before the end, but a minute before it at most. */
const ASK_SHARE = 1 / 3;
const MAX_ASK_MS = 60_000;
/** A day: longer times are taken in steps, because timers are bounded. */
const MAX_STEP_MS = 86_400_000;
/** A token that follows the one before sooner isn't checked: a check may be expensive. */
const CHECK_EVERY_MS = 1000;

type ExpiringConnection = Pick<
  ProtocolConnection<never>,
  "close" | "context" | "isOpen" | "isOver" | "isSuspended" | "sendPayload"
>;

/** The connection's server. */
export interface ExpiryHost {
  /** Unix milliseconds. */
  wallClock(): number;
  /** The identity of a token; null if it isn't valid, or if its identity has expired. */
  userOf(token: string): Promise<User | null>;
  /** A new token was valid. */
  renewed(user: User): void;
  /** A new token wasn't valid, or couldn't be checked. */
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
  /** Unix milliseconds; infinite once it was asked. */
  #askAt: number;
  #isChecking = false;
  /** Monotonic milliseconds. */
  #nextCheckAt = 0;

  /** @param transport the stream: tokens aren't asked for, nor taken, where others can read them */
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

  /** The connection has ended, or its client has logged in again. A check under way has no effect. */
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
      // Without a stream the connection does nothing, and to resume it the client has to log in, which gives it a new
      // identity.
      if (this.#protocol.isSuspended) return;
      const message = `The identity of '${this.#name}' has expired`;
      void this.#protocol.close({ code: ErrorCode.IDENTITY_EXPIRED, message, reconnect: true });
      return;
    }
    if (now >= this.#askAt) {
      this.#askAt = Number.POSITIVE_INFINITY;
      const expires_in_ms = Math.ceil(this.#expiresAt - now);
      // A connection that is closing needs no new token.
      if (this.#protocol.isOpen) this.#protocol.sendPayload(CREDENTIALS_EXPIRING_FRAME, { expires_in_ms });
    }
    this.#schedule();
  }

  /** One token is checked at a time and one a second, so that a client can't make this side check a flood of them. */
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
