import { ConduitError, ErrorCode, errorCodeName } from "../errors.ts";

/** Why a connection ended. */
export interface CloseReason {
  /** An `ErrorCode`; CONNECTION_CLOSED when nothing went wrong. */
  readonly code: number;
  /** The code's name, for logs; the number as text for one that this library does not define. */
  readonly codeName: string;
  readonly message: string;
  /** True if the peer's CLOSE said so, false if this side ended it or the stream broke. */
  readonly byPeer: boolean;
  /** False: the peer asks not to be dialled again. */
  readonly reconnect: boolean;
}

/** Asks for a connection's end. */
export interface CloseRequest {
  readonly code: number;
  readonly message: string;
  readonly reconnect: boolean;
  /** Default false. */
  readonly byPeer?: boolean | undefined;
}

export function closeReason({ code, message, reconnect, byPeer = false }: CloseRequest): CloseReason {
  return { code, codeName: errorCodeName(code), message, byPeer, reconnect };
}

/** Calls that the end cut short fail with this. */
export function errorOf(reason: CloseReason): ConduitError {
  return new ConduitError(reason.code, reason.message);
}

/** The reason of a stream's end that this side did not ask for. */
export function streamEndReason(error: Error | null): CloseReason {
  if (error === null) {
    const message = "Closed by the peer";
    return closeReason({ code: ErrorCode.CONNECTION_CLOSED, message, byPeer: true, reconnect: true });
  }
  const code = error instanceof ConduitError ? error.code : ErrorCode.CONNECTION_ERROR;
  return closeReason({ code, message: error.message, reconnect: true });
}
