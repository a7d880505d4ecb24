/**
 * Resuming at login: finds the session that a client may resume, and continues it over the login's stream.
 *
 * A session is in one of three places: live in this process, in the store because its server has ended, or live on
 * another node of the cluster, which must end it before the client continues here.
 */

import { identityOf } from "../auth/user.ts";
import type { CloseReason } from "../connection/close-reason.ts";
import type { ProtocolConnection } from "../connection/protocol-connection.ts";
import type { RuntimeContext } from "../context/runtime-context.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { resume } from "../extensions/resume/resume.ts";
import { toHex } from "../util/hex.ts";
import type { AcceptedStep } from "./login-manager.ts";
import { type ResumeRequest, resumeRequest, SESSION_TOKEN_BYTES, type Session, Sessions } from "./sessions.ts";
import { keyOf, type RecalledSession, type SessionPlace, type StoredSessions } from "./stored-sessions.ts";

/** A session that a client may resume. */
export interface ResumableSession<Peer> {
  readonly session: Session<Peer>;
  readonly request: ResumeRequest;
}

export interface ClientSessionsHost {
  readonly context: RuntimeContext;
  readonly windowMs: number;
  /** Stores the part of sessions that outlives the process; null without a store. */
  readonly stored: StoredSessions | null;
  /** Ends a session on another node. Resolves with whether it was there; false if there is no answer within `timeoutMs`. */
  releaseFrom(node: SessionPlace, key: string, timeoutMs: number): Promise<boolean>;
}

export class ClientSessions<Peer> {
  /** The sessions of this process. */
  readonly live: Sessions<Peer>;
  readonly #host: ClientSessionsHost;
  /** Sessions whose clients have continued over other connections, here or on another node. */
  readonly #moved = new WeakSet<ProtocolConnection<Peer>>();

  constructor(host: ClientSessionsHost) {
    this.#host = host;
    this.live = new Sessions(host.context, host.windowMs);
  }

  /** Whether a client requests a session that another process may have had. */
  mustRecall(step: AcceptedStep): boolean {
    const request = resumeRequest(step.resume);
    return this.#host.stored !== null && request !== null && !this.live.has(request);
  }

  /**
   * Looks up that session. If another node still has it, ends it there first, so that no message is handled on both.
   * Resolves with null if it doesn't exist or the store doesn't answer within `timeoutMs`. Never rejects.
   */
  async recall(step: AcceptedStep, timeoutMs: number): Promise<RecalledSession | null> {
    const request = resumeRequest(step.resume);
    const { stored, context } = this.#host;
    if (stored === null || request === null) return null;
    const owner = identityOf(step.user);
    const endsAtMs = context.runtime.now() + timeoutMs;
    const leftMs = (): number => Math.max(1, Math.floor(endsAtMs - context.runtime.now()));
    const recalled = await stored.recall(request, owner, timeoutMs);
    if (recalled?.place == null) return recalled;
    const wasThere = await this.#host.releaseFrom(recalled.place, keyOf(request.token), leftMs());
    if (!wasThere) return recalled;
    return (await stored.recall(request, owner, leftMs())) ?? recalled;
  }

  /** The session that a client requests and may resume; null if there is none. */
  find(step: AcceptedStep): ResumableSession<Peer> | null {
    const request = resumeRequest(step.resume);
    const session = request === null ? null : this.live.find(request, identityOf(step.user));
    return request === null || session === null ? null : { session, request };
  }

  /** The part of AUTH_SUCCESS about a requested session that can't be resumed. */
  expired(step: AcceptedStep, recalled: RecalledSession | null): { readonly expired?: object } {
    const request = resumeRequest(step.resume);
    if (request === null) return {};
    const received = this.live.receivedOf(request, identityOf(step.user));
    const { handled, above, unfinished } = recalled ?? {};
    const restored = recalled === null ? {} : { handled, above, unfinished };
    return { expired: { ...(received === null ? {} : { received }), ...restored } };
  }

  /** A client has logged in. If resuming was agreed on, it can resume its connection by this token. */
  begin(protocol: ProtocolConnection<Peer>, step: AcceptedStep, token: string, recalled: RecalledSession | null): void {
    const resuming = protocol.extension(resume);
    if (resuming === undefined) return;
    const owner = identityOf(step.user);
    this.live.add(protocol, owner, token);
    this.#host.stored?.begin(resuming, owner, token, recalled?.outbox ?? null, () => this.#endMoved(protocol));
  }

  #endMoved(protocol: ProtocolConnection<Peer>): void {
    this.#moved.add(protocol);
    protocol.destroy(new ConduitError(ErrorCode.SESSION_EXPIRED, "The client continues over another connection"));
  }

  /**
   * Continues a session over a login's stream.
   * @param answer sends AUTH_SUCCESS with the session's next token and the number of bytes that it has received
   * @returns whether the session continues
   */
  resume(
    login: ProtocolConnection<Peer>,
    { session, request }: ResumableSession<Peer>,
    answer: (token: string, received: number) => void,
  ): boolean {
    const { protocol } = session;
    // A well-behaved client sends nothing before the answer.
    if (login.undecodedBytes > 0 || this.live.find(request, session.owner) !== session) return false;
    // The old stream may still look alive.
    protocol.streamFailed(new ConduitError(ErrorCode.CONNECTION_RESET, "The client has reconnected"));
    if (protocol.resumption === null || login.resumption === null || !protocol.isSuspended) return false;
    answer(this.#nextToken(session, request), protocol.resumption.stream.received);
    protocol.resumption.resume(login.resumption.handOver(), request.received);
    return true;
  }

  #nextToken(session: Session<Peer>, request: ResumeRequest): string {
    const { context, stored } = this.#host;
    const resuming = session.protocol.extension(resume);
    if (stored === null || resuming === undefined) {
      return this.live.resumed(session, request, newToken(context));
    }
    const token = this.live.resumed(session, request, stored.nextToken(resuming, request.token));
    stored.resumed(resuming, token);
    return token;
  }

  /** The connection has ended. Its session stays in the store if the client may resume it elsewhere. */
  ended(protocol: ProtocolConnection<Peer>, reason: CloseReason): void {
    this.live.ended(protocol);
    const resuming = protocol.extension(resume);
    if (resuming === undefined) return;
    const isStopping = reason.code === ErrorCode.SERVER_STOPPING && !reason.byPeer;
    const isForGood = !reason.reconnect || reason.code === ErrorCode.SESSION_EXPIRED;
    const mayAskAgain = !isForGood && (protocol.resumption?.stream.received ?? 0) === 0;
    const isClosed = isStopping && reason.lost === undefined;
    this.#host.stored?.ended(resuming, isStopping || this.#moved.has(protocol), mayAskAgain, isClosed);
  }
}

/** An unpredictable token, in hexadecimal. */
export function newToken({ runtime }: RuntimeContext): string {
  return toHex(runtime.crypto.randomBytes(SESSION_TOKEN_BYTES));
}
