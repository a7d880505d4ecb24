import { ConduitError, ErrorCode } from "../errors.ts";

/** Share of the available descriptors that pending logins may use. */
const PENDING_SHARE = 0.5;

/**
 * Keeps a server's connections below the process's limit of file descriptors. If the limit is unknown, it is
 * determined when an accept fails.
 */
export class DescriptorGuard {
  #maxSockets = Number.POSITIVE_INFINITY;
  #maxPending = Number.POSITIVE_INFINITY;
  /** At most {@link #maxPending}; temporarily lower after the system ran out of descriptors. */
  #pendingLimit = Number.POSITIVE_INFINITY;

  /** The server is listening. @param maxSockets undefined if the limit is unknown */
  start(maxSockets: number = Number.POSITIVE_INFINITY): void {
    this.#maxSockets = maxSockets;
    this.#maxPending = Math.max(1, Math.floor(maxSockets * PENDING_SHARE));
    this.#pendingLimit = this.#maxPending;
  }

  /** Whether one more connection fits, given the number of open ones and of those that haven't logged in. */
  hasRoom(open: number, pending: number): boolean {
    return open < this.#maxSockets && pending < this.#pendingLimit;
  }

  /** The system is out of descriptors. Returns the number that pending logins must be reduced to. */
  exhausted(pending: number): number {
    this.#pendingLimit = Math.max(1, Math.min(this.#pendingLimit, Math.floor(pending * PENDING_SHARE)));
    return this.#pendingLimit;
  }

  /** A login succeeded: allows one more pending login. */
  loggedIn(): void {
    this.#pendingLimit = Math.min(this.#pendingLimit + 1, this.#maxPending);
  }

  /** The error that reports dropped or rejected connections. */
  error(open: number): ConduitError {
    const message =
      `Short of file descriptors: ${open} connections are open; of those that have not logged in, the oldest are ` +
      "dropped, and else new ones are turned away (raise the limit of the process, ulimit -n)";
    return new ConduitError(ErrorCode.CONNECTION_ERROR, message);
  }
}
