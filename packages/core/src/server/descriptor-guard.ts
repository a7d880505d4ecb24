import { ConduitError, ErrorCode } from "../errors.ts";
import { REPORT_WINDOW_MS } from "../limits.ts";
import { ReportWindows } from "../util/report-windows.ts";

/** Pending logins may use this share of the connections that there are descriptors for. */
const PENDING_SHARE = 0.5;

/**
 * Keeps a server's connections below the process's limit of file descriptors. Where the limit is unknown, it is learned
 * when the system refuses to accept one more.
 */
export class DescriptorGuard {
  #maxSockets = Number.POSITIVE_INFINITY;
  #maxPending = Number.POSITIVE_INFINITY;
  readonly #reports = new ReportWindows<null>(REPORT_WINDOW_MS);

  /** The server listens. @param maxSockets undefined if the limit is unknown */
  start(maxSockets: number = Number.POSITIVE_INFINITY): void {
    this.#maxSockets = maxSockets;
    this.#maxPending = Math.max(1, Math.floor(maxSockets * PENDING_SHARE));
  }

  /** Whether one more connection fits, with so many open, of which so many have not logged in. */
  hasRoom(open: number, pending: number): boolean {
    return open < this.#maxSockets && pending < this.#maxPending;
  }

  /** The system is out of descriptors. Returns to how many the pending logins must shrink. */
  exhausted(pending: number): number {
    this.#maxPending = Math.max(1, Math.min(this.#maxPending, Math.floor(pending * PENDING_SHARE)));
    return this.#maxPending;
  }

  /** How many failures a report stands for; 0 if it was merged into the next one. */
  count(nowMs: number): number {
    return this.#reports.add("", null, nowMs);
  }

  /** The report that connections were dropped or turned away. */
  error(open: number): ConduitError {
    const message =
      `Short of file descriptors: ${open} connections are open; of those that have not logged in, the oldest are ` +
      "dropped, and else new ones are turned away (raise the limit of the process, ulimit -n)";
    return new ConduitError(ErrorCode.CONNECTION_ERROR, message);
  }
}
