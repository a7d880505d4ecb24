import { ConduitError, ErrorCode, errorCodeName } from "../errors.ts";

/** Why a connection ended. */
export interface CloseReason {
  /** An `ErrorCode`; CONNECTION_CLOSED for a normal close. */
  readonly code: number;
  /** The code's name, for logs; the number as text if this library doesn't define the code. */
  readonly codeName: string;
  readonly message: string;
  /** True if the peer sent CLOSE; false if this side closed the connection or the stream failed. */
  readonly byPeer: boolean;
  /** False if the closing side requests that the client doesn't reconnect. */
  readonly reconnect: boolean;
  /** Number of unacknowledged frames of an expired session; absent otherwise. */
  readonly lost?: number | undefined;
}

/** Arguments for closing a connection. */
export interface CloseRequest {
  readonly code: number;
  readonly message: string;
  readonly reconnect: boolean;
  /** Default false. */
  readonly byPeer?: boolean | undefined;
  /** Ids of this side's requests that the peer has started and won't answer; it never started any others. Default: unknown. */
  readonly started?: ReadonlySet<unknown> | null | undefined;
}

export function closeReason({ code, message, reconnect, byPeer = false }: CloseRequest): CloseReason {
  return { code, codeName: errorCodeName(code), message, byPeer, reconnect };
}

/** The error of calls that were pending when the connection ended. */
export function errorOf(reason: CloseReason): ConduitError {
  return new ConduitError(reason.code, reason.message);
}

/** The reason for a stream that this side didn't close. */
export function streamEndReason(error: Error | null): CloseReason {
  if (error === null) {
    const message = "Closed by the peer";
    return closeReason({ code: ErrorCode.CONNECTION_CLOSED, message, byPeer: true, reconnect: true });
  }
  const code = error instanceof ConduitError ? error.code : ErrorCode.CONNECTION_ERROR;
  return closeReason({ code, message: error.message, reconnect: true });
}
