import type { CloseReason } from "../connection/close-reason.ts";

/** A session that continues over a new stream. */
export interface ResumedSession {
  /** Number of messages, calls, replies and items that were resent, because the server hadn't received them. */
  readonly replayed: number;
  /**
   * Number of lost messages. 0, unless the server was restarted and more than `maxBytes` of messages hadn't been
   * handled. After a restart, pending calls, requests and streams have ended with CONNECTION_CLOSED.
   */
  readonly lost: number;
  /** Whether the server was restarted, so that this is a new connection without the server's earlier state. */
  readonly restarted: boolean;
}

/** A session that ended because it couldn't be resumed. */
export interface ExpiredSession {
  /** Number of this client's messages, calls, replies and items that the server may not have received. */
  readonly lost: number;
  readonly reason: CloseReason;
}
