/**
 * A server's sessions, which outlive their streams.
 *
 * Theory of operation. A session is a client's connection together with the token by which the client can resume it
 * over a new stream. The token changes each time it is used. The previous token stays valid until the client has sent
 * something over the new stream, and yields the same next token again: the answer that contained it may have been
 * lost, or several logins with the previous token may complete out of order. After a session has expired, the number
 * of bytes that it had received is kept for the same time again, so that the client can learn which of its messages
 * arrived.
 */

import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import type { RuntimeContext } from "../context/runtime-context.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { isCount } from "../util/is-count.ts";
import { isMap } from "../util/is-map.ts";
import { RunningTimer } from "../util/time.ts";

export const SESSION_TOKEN_BYTES = 32;
/** Number of expired sessions to remember. */
const MAX_EXPIRED = 10_000;

export interface Session<Peer> {
  readonly protocol: ProtocolConnection<Peer>;
  /** The user who may resume it, as a string for comparison. */
  readonly owner: string;
  /** The last token that the client is known to have. */
  token: string;
  /** The token sent to the client since; null if none was. */
  nextToken: string | null;
  /** Number of bytes received when `nextToken` was last sent. */
  receivedBefore: number;
  expiry: RunningTimer | null;
}

/** A client's request to resume a session. */
export interface ResumeRequest {
  readonly token: string;
  /** Number of the session's bytes that the client has received. */
  readonly received: number;
}

export class Sessions<Peer> {
  readonly #context: RuntimeContext;
  readonly #windowMs: number;
  readonly #byToken = new Map<string, Session<Peer>>();
  readonly #byProtocol = new Map<ProtocolConnection<Peer>, Session<Peer>>();
  /** Sessions without a stream, longest waiting first. */
  readonly #suspended = new Set<Session<Peer>>();
  /** Bytes received, and when to forget that, by token; oldest first. */
  readonly #expired = new Map<
    string,
    { readonly owner: string; readonly received: number; readonly untilMs: number }
  >();

  constructor(context: RuntimeContext, windowMs: number) {
    this.#context = context;
    this.#windowMs = windowMs;
  }

  /** A client that may resume has logged in. */
  add(protocol: ProtocolConnection<Peer>, owner: string, token: string): void {
    const session = { protocol, owner, token, nextToken: null, receivedBefore: 0, expiry: null };
    this.#byToken.set(token, session);
    this.#byProtocol.set(protocol, session);
  }

  /** Whether a login requests an existing session. */
  has(request: ResumeRequest | null): boolean {
    return request !== null && this.#find(request.token) !== null;
  }

  /** The session that a client may resume; null if it doesn't exist or belongs to another user. */
  find(request: ResumeRequest, owner: string): Session<Peer> | null {
    const session = this.#find(request.token);
    if (session === null || session.owner !== owner || !session.protocol.isOpen) return null;
    return session.protocol.resumption?.stream.sent.isPossible(request.received) === true ? session : null;
  }

  #find(token: string): Session<Peer> | null {
    const session = this.#byToken.get(token);
    // The client has sent data over the stream whose login contained the next token.
    if (session !== undefined && (session.protocol.resumption?.stream.received ?? 0) > session.receivedBefore)
      this.#advance(session);
    return this.#byToken.get(token) ?? null;
  }

  /** Makes the next token current, because the client is known to have it. */
  #advance(session: Session<Peer>): void {
    if (session.nextToken === null) return;
    this.#byToken.delete(session.token);
    session.token = session.nextToken;
    session.nextToken = null;
  }

  /**
   * The client has resumed its session.
   * @param fresh a new token, or the session's current one if there is no new one yet
   * @returns the token for the client
   */
  resumed(session: Session<Peer>, request: ResumeRequest, fresh: string): string {
    this.#cancelExpiry(session);
    if (request.token === session.nextToken) this.#advance(session);
    if (session.nextToken === null && fresh === session.token) return fresh;
    session.nextToken ??= fresh;
    session.receivedBefore = session.protocol.resumption?.stream.received ?? 0;
    this.#byToken.set(session.nextToken, session);
    return session.nextToken;
  }

  /** The session's stream was lost. */
  suspended(protocol: ProtocolConnection<Peer>): void {
    const session = this.#byProtocol.get(protocol);
    if (session === undefined) return;
    const { wheel, runtime } = this.#context;
    const expiry = new RunningTimer(wheel, runtime, () => {
      const message = `The session expired: its client didn't reconnect within ${this.#windowMs} ms`;
      protocol.destroy(new ConduitError(ErrorCode.SESSION_EXPIRED, message));
    });
    session.expiry = expiry;
    this.#suspended.add(session);
    expiry.start(this.#windowMs);
  }

  /** Number of sessions waiting for their client, without a stream. */
  get suspendedCount(): number {
    return this.#suspended.size;
  }

  /** Ends the session that has waited longest for its client. */
  endOldest(): void {
    const [oldest] = this.#suspended;
    const message = "The session ended: another client needed its place";
    oldest?.protocol.destroy(new ConduitError(ErrorCode.SESSION_EXPIRED, message));
  }

  /** The connection has ended. */
  ended(protocol: ProtocolConnection<Peer>): void {
    const session = this.#byProtocol.get(protocol);
    if (session === undefined) return;
    this.#cancelExpiry(session);
    this.#byProtocol.delete(protocol);
    const { owner, token, nextToken } = session;
    const received = protocol.resumption?.stream.received ?? 0;
    const untilMs = this.#context.runtime.now() + this.#windowMs;
    for (const known of nextToken === null ? [token] : [token, nextToken]) {
      this.#byToken.delete(known);
      this.#expired.set(known, { owner, received, untilMs });
    }
    this.#forgetExpired();
  }

  /** Number of bytes that an expired session had received; null if unknown. */
  receivedOf(request: ResumeRequest, owner: string): number | null {
    const closing = this.#find(request.token);
    // End it now, so that its count of received bytes is final: the client no longer reads from it.
    if (closing?.owner === owner && !closing.protocol.isOpen) {
      closing.protocol.destroy(new ConduitError(ErrorCode.CONNECTION_RESET, "The client has reconnected"));
    }
    this.#forgetExpired();
    const expired = this.#expired.get(request.token);
    return expired === undefined || expired.owner !== owner ? null : expired.received;
  }

  #forgetExpired(): void {
    const now = this.#context.runtime.now();
    for (const [token, { untilMs }] of this.#expired) {
      if (untilMs > now && this.#expired.size <= MAX_EXPIRED) return;
      this.#expired.delete(token);
    }
  }

  #cancelExpiry(session: Session<Peer>): void {
    this.#suspended.delete(session);
    session.expiry?.stop();
    session.expiry = null;
  }
}

/** Returns the resume request in AUTH_REQUEST; null if there is none or it is invalid. */
export function resumeRequest(value: unknown): ResumeRequest | null {
  if (!isMap(value)) return null;
  const { token, received } = value;
  return typeof token === "string" && isCount(received) ? { token, received } : null;
}
