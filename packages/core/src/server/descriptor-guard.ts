import { ConduitError, ErrorCode } from "../errors.ts";

/** Pending logins may use this share of the connections that there are descriptors for. */
const PENDING_SHARE = 0.5;

/**
 * Keeps a server's connections below the process's limit of file descriptors. Where the limit is unknown, it is learned
 * when the system refuses to accept one more.
 */
export class DescriptorGuard {
  #maxSockets = Number.POSITIVE_INFINITY;
  #maxPending = Number.POSITIVE_INFINITY;
  /** At most {@link #maxPending}; lower for a while after the system ran out. */
  #pendingLimit = Number.POSITIVE_INFINITY;

  /** The server listens. @param maxSockets undefined if the limit is unknown */
  start(maxSockets: number = Number.POSITIVE_INFINITY): void {
    this.#maxSockets = maxSockets;
    this.#maxPending = Math.max(1, Math.floor(maxSockets * PENDING_SHARE));
    this.#pendingLimit = this.#maxPending;
  }

  /** Whether one more connection fits, with so many open, of which so many have not logged in. */
  hasRoom(open: number, pending: number): boolean {
    return open < this.#maxSockets && pending < this.#pendingLimit;
  }

  /** The system is out of descriptors. Returns to how many the pending logins must shrink. */
  exhausted(pending: number): number {
    this.#pendingLimit = Math.max(1, Math.min(this.#pendingLimit, Math.floor(pending * PENDING_SHARE)));
    return this.#pendingLimit;
  }

  /** A login succeeded, so there is room for one more pending login than before. */
  loggedIn(): void {
    this.#pendingLimit = Math.min(this.#pendingLimit + 1, this.#maxPending);
  }

  /** The report that connections were dropped or turned away. */
  error(open: number): ConduitError {
    const message =
      `Short of file descriptors: ${open} connections are open; of those that have not logged in, the oldest are ` +
      "dropped, and else new ones are turned away (raise the limit of the process, ulimit -n)";
    return new ConduitError(ErrorCode.CONNECTION_ERROR, message);
  }
}
