import type { CloseReason } from "../connection/close-reason.ts";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import type { RuntimeContext } from "../context/runtime-context.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { resume } from "../extensions/resume/resume.ts";
import { isMap } from "../util/is-map.ts";
import { CallbackTimer } from "../util/time.ts";

/** A session that goes on over another stream. */
export interface ResumedSession {
  /** Messages, calls, replies and items that were sent again, because the server had not received them. */
  readonly replayed: number;
  /** Those that were lost: 0, since a session goes on completely or not at all. */
  readonly lost: number;
}

/** A session that ended because the client couldn't go on with it. */
export interface ExpiredSession {
  /** Messages, calls, replies and items of this client that the server may not have received. */
  readonly lost: number;
  readonly reason: CloseReason;
}

/** The connection of a client that has lost its stream, until it goes on over another, or is given up. */
export class WaitingSession<Peer> {
  readonly #context: RuntimeContext;
  #connection: ProtocolConnection<Peer> | null = null;
  #expiry: CallbackTimer | null = null;

  constructor(context: RuntimeContext) {
    this.#context = context;
  }

  get connection(): ProtocolConnection<Peer> | null {
    return this.#connection;
  }

  /** Keeps it for as long as the server does. */
  start(connection: ProtocolConnection<Peer>): void {
    const windowMs = connection.extension(resume)?.theirs.window_ms ?? 0;
    this.#connection = connection;
    this.#expiry = new CallbackTimer(() => {
      const message = `The session expired: the server wasn't reached within ${windowMs} ms`;
      connection.destroy(new ConduitError(ErrorCode.SESSION_EXPIRED, message));
    });
    this.#context.wheel.schedule(this.#expiry, windowMs);
  }

  /** It goes on, or has ended. */
  end(): void {
    if (this.#expiry !== null) this.#context.wheel.cancel(this.#expiry);
    this.#expiry = null;
    this.#connection = null;
  }

  /** What to ask a server for; undefined if nothing waits. */
  request(token: string | undefined): { readonly token: string; readonly received: number } | undefined {
    const stream = this.#connection?.resumable;
    return stream === null || stream === undefined || token === undefined
      ? undefined
      : { token, received: stream.received };
  }
}

/** Bytes in `resumed` or `expired` of AUTH_SUCCESS; null if there are none. */
export function receivedIn(answer: unknown): number | null {
  const received = isMap(answer) ? answer["received"] : null;
  return Number.isSafeInteger(received) && (received as number) >= 0 ? (received as number) : null;
}
