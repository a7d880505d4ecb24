/**
 * The sessions of a server that outlive their streams.
 *
 * Theory of operation. A session is a client's connection, and the token by which its client may go on over another
 * stream. The token changes each time it is used. The earlier one stays valid until the client has sent something over
 * the new stream, and gives the same next token again: the answer with that may have been lost, or several logins with
 * the earlier one may succeed, the latest of them not last. When a session has expired, the number of bytes that it had
 * received is remembered for as long again, so that its client hears which of its messages arrived.
 */

import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import type { RuntimeContext } from "../context/runtime-context.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { isCount } from "../util/is-count.ts";
import { isMap } from "../util/is-map.ts";
import { RunningTimer } from "../util/time.ts";

export const SESSION_TOKEN_BYTES = 32;
/** Expired sessions that are remembered. */
const MAX_EXPIRED = 10_000;

export interface Session<Peer> {
  readonly protocol: ProtocolConnection<Peer>;
  /** The user who may resume it, as a comparable text. */
  readonly owner: string;
  /** The last token that the client certainly has. */
  token: string;
  /** The token that the client was given since; null if none was. */
  nextToken: string | null;
  /** Bytes that had been received when `nextToken` was last given. */
  receivedBefore: number;
  expiry: RunningTimer | null;
}

/** A client's request to resume a session. */
export interface ResumeRequest {
  readonly token: string;
  /** Bytes of the session that the client has received. */
  readonly received: number;
}

export class Sessions<Peer> {
  readonly #context: RuntimeContext;
  readonly #windowMs: number;
  readonly #byToken = new Map<string, Session<Peer>>();
  readonly #byProtocol = new Map<ProtocolConnection<Peer>, Session<Peer>>();
  /** Sessions without a stream, the longest waiting first. */
  readonly #suspended = new Set<Session<Peer>>();
  /** Bytes received, and when that is forgotten, by token; oldest first. */
  readonly #expired = new Map<
    string,
    { readonly owner: string; readonly received: number; readonly untilMs: number }
  >();

  constructor(context: RuntimeContext, windowMs: number) {
    this.#context = context;
    this.#windowMs = windowMs;
  }

  /** A client has logged in that may resume. */
  add(protocol: ProtocolConnection<Peer>, owner: string, token: string): void {
    const session = { protocol, owner, token, nextToken: null, receivedBefore: 0, expiry: null };
    this.#byToken.set(token, session);
    this.#byProtocol.set(protocol, session);
  }

  /** Whether a login asks for a session that exists. */
  has(request: ResumeRequest | null): boolean {
    return request !== null && this.#find(request.token) !== null;
  }

  /** The session that a client may resume; null if it can't be, or isn't its own. */
  find(request: ResumeRequest, owner: string): Session<Peer> | null {
    const session = this.#find(request.token);
    if (session === null || session.owner !== owner || !session.protocol.isOpen) return null;
    return session.protocol.resumption?.stream.sent.isPossible(request.received) === true ? session : null;
  }

  #find(token: string): Session<Peer> | null {
    const session = this.#byToken.get(token);
    // The client has sent something over a stream whose login gave it the next token.
    if (session !== undefined && (session.protocol.resumption?.stream.received ?? 0) > session.receivedBefore)
      this.#advance(session);
    return this.#byToken.get(token) ?? null;
  }

  /** The client is known to have the next token. */
  #advance(session: Session<Peer>): void {
    if (session.nextToken === null) return;
    this.#byToken.delete(session.token);
    session.token = session.nextToken;
    session.nextToken = null;
  }

  /**
   * The client goes on.
   * @param fresh a new token, or the session's own if there is no new one yet
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

  /** Its stream was lost. */
  suspended(protocol: ProtocolConnection<Peer>): void {
    const session = this.#byProtocol.get(protocol);
    if (session === undefined) return;
    const { wheel, runtime } = this.#context;
    const expiry = new RunningTimer(wheel, runtime, () => {
      const message = `The session expired: its client didn't come back within ${this.#windowMs} ms`;
      protocol.destroy(new ConduitError(ErrorCode.SESSION_EXPIRED, message));
    });
    session.expiry = expiry;
    this.#suspended.add(session);
    expiry.start(this.#windowMs);
  }

  /** Sessions that wait for their client, without a stream. */
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

  /** Bytes that an expired session had received; null if that isn't known. */
  receivedOf(request: ResumeRequest, owner: string): number | null {
    const closing = this.#find(request.token);
    // Its client reads nothing from it any more, so it ends now: what it has received is known then.
    if (closing?.owner === owner && !closing.protocol.isOpen) {
      closing.protocol.destroy(new ConduitError(ErrorCode.CONNECTION_RESET, "The client has come back"));
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

/** Returns what a client asks for in AUTH_REQUEST; null if nothing, or nothing valid. */
export function resumeRequest(value: unknown): ResumeRequest | null {
  if (!isMap(value)) return null;
  const { token, received } = value;
  return typeof token === "string" && isCount(received) ? { token, received } : null;
}
