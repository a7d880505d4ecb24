import type { CloseReason } from "../connection/close-reason.ts";

/** A session that goes on over another stream. */
export interface ResumedSession {
  /** Messages, calls, replies and items that were sent again, because the server had not received them. */
  readonly replayed: number;
  /**
   * Messages that were lost: 0, unless the server was started anew and more than `maxBytes` of them hadn't been handled. Calls,
   * requests and streams under way have ended then, with CONNECTION_CLOSED.
   */
  readonly lost: number;
  /** Whether the server was started anew: this is a new connection, and the server's state of the former one is gone. */
  readonly restarted: boolean;
}

/** A session that ended because the client couldn't go on with it. */
export interface ExpiredSession {
  /** Messages, calls, replies and items of this client that the server may not have received. */
  readonly lost: number;
  readonly reason: CloseReason;
}
