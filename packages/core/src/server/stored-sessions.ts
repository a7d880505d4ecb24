/**
 * A server's records of its sessions in its store: each session's owner, and which of its client's messages have been
 * handled. A restarted server sends the latter to the client, which resends the other messages.
 *
 * Theory of operation. A record is written when a client logs in, and whenever more messages have been handled: one
 * write at a time, followed by one with all changes made in between. Handled messages are acknowledged to the client
 * once they are stored. Records of live sessions are rewritten periodically, so that they don't expire. A record's
 * key is the first half of the session's token, and it contains hashes of the session's tokens; the second half
 * changes with each resume.
 */

import type { HandledByPeer } from "../connection/send/unhandled-messages.ts";
import type { RepeatingSender } from "../endpoint/acknowledged-send.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import type { ConnectionSession } from "../extensions/resume/resume.ts";
import type { Codec } from "../rpc/answer-record.ts";
import type { AnsweringStore } from "../store/answering-store.ts";
import { toHex } from "../util/hex.ts";
import { isMap } from "../util/is-map.ts";
import { utf8 } from "../util/utf8.ts";
import { Outbox } from "./outbox.ts";
import type { ResumeRequest } from "./sessions.ts";

const KEY_PREFIX = "session/";
/** Number of a token's hexadecimal digits that never change. */
const ID_DIGITS = 32;
/**
 * The token that the client is known to have, the next one, and the one after that, which is stored before the client
 * gets it.
 */
const MAX_TOKENS = 3;
/** Delay before a failed write is repeated. */
const RETRY_MS = 1000;

export interface StoredSessionsHost {
  readonly store: AnsweringStore;
  readonly codec: Codec;
  readonly windowMs: number;
  /** Maximum number of bytes of stored messages for one client. */
  readonly maxBytes: number;
  /** This process's node; null without a cluster. */
  place(): SessionPlace | null;
  sha256(bytes: Uint8Array): Uint8Array | Promise<Uint8Array>;
  /** An unpredictable token, in hexadecimal. */
  newToken(): string;
  /** Runs `task` until the returned function is called. Doesn't keep the process running. */
  every(delayMs: number, task: () => void): () => void;
  /** Unix milliseconds. */
  wallClock(): number;
  storeFailed(error: unknown): void;
  /** Reports stored messages that won't be delivered. */
  undelivered(error: ConduitError, type: string | null, count: number): void;
}

/** The run of a node that has or had a session. */
export interface SessionPlace {
  readonly id: string;
  readonly epoch: string;
}

/** The record of a session of another process. */
export interface RecalledSession extends HandledByPeer {
  /** Number of messages whose handlers had started but not finished. */
  readonly unfinished: number;
  /** Null if its server wasn't in a cluster, or was this node. */
  readonly place: SessionPlace | null;
  /** Id of the outbox with its messages to the client; null if there never were any. */
  readonly outbox: string | null;
}

interface StoredSession {
  readonly key: string;
  readonly owner: string;
  readonly session: ConnectionSession;
  tokens: readonly string[];
  /** The stored tokens. */
  kept: readonly string[];
  isDirty: boolean;
  saving: Promise<void> | null;
  /** Ends the connection, because its client continues over another one. */
  readonly end: () => void;
  /** Whether it continues the outbox of another process's session. */
  readonly hasFormerOutbox: boolean;
  /** Null until the first message is stored. */
  outboxId: string | null;
  outbox: Outbox | null;
}

export class StoredSessions {
  readonly #host: StoredSessionsHost;
  readonly #live = new Map<ConnectionSession, StoredSession>();
  readonly #byKey = new Map<string, StoredSession>();
  readonly #saving = new Set<Promise<void>>();
  #endRenewal: (() => void) | null = null;
  #endRetries: (() => void) | null = null;

  constructor(host: StoredSessionsHost) {
    this.#host = host;
  }

  /** Returns a session's next token, or its current one, `token`, if the next one isn't stored yet. */
  nextToken(session: ConnectionSession, token: string): string {
    const stored = this.#live.get(session);
    const next = stored?.tokens.at(-1);
    return next !== undefined && stored?.kept.includes(next) === true ? next : token;
  }

  /**
   * Looks up the record of a session requested by a client. Null if it doesn't exist, belongs to another user, or the
   * store doesn't answer within `timeoutMs`.
   */
  async recall({ token }: ResumeRequest, owner: string, timeoutMs: number): Promise<RecalledSession | null> {
    const { store, codec, storeFailed } = this.#host;
    try {
      const bytes = await store.get(keyOf(token), timeoutMs);
      const record = bytes === null ? null : codec.decode(bytes);
      if (!isMap(record)) return null;
      const { handled, above, unfinished, tokens } = record;
      const isOwn = record["owner"] === owner && Array.isArray(tokens) && tokens.includes(await this.#hash(token));
      if (!isOwn || typeof handled !== "number" || !Array.isArray(above) || typeof unfinished !== "number") return null;
      const outbox = typeof record["outbox"] === "string" ? record["outbox"] : null;
      return { handled, above, unfinished, place: this.#otherPlace(record["place"]), outbox };
    } catch (error) {
      storeFailed(error);
      return null;
    }
  }

  #otherPlace(value: unknown): SessionPlace | null {
    const { id, epoch } = isMap(value) ? value : {};
    if (typeof id !== "string" || typeof epoch !== "string" || epoch === this.#host.place()?.epoch) return null;
    return { id, epoch };
  }

  /**
   * A client that may resume has logged in.
   * @param outboxId of the session that it continues; null if there is none
   * @param end ends its connection, because its client continues over another one
   */
  begin(session: ConnectionSession, owner: string, token: string, outboxId: string | null, end: () => void): void {
    const hasFormerOutbox = outboxId !== null;
    // The answer to the client's last login was lost, so it requests the same session again.
    if (hasFormerOutbox) for (const other of this.#live.values()) if (other.outboxId === outboxId) other.end();
    const key = keyOf(token);
    const tokens = [token, this.#tokenAfter(token)];
    const state = { kept: [], isDirty: false, saving: null, outbox: null };
    const stored: StoredSession = { key, owner, session, tokens, end, outboxId, hasFormerOutbox, ...state };
    this.#live.set(session, stored);
    this.#byKey.set(key, stored);
    session.handledMore = () => this.#save(stored);
    if (session.handled !== null) session.handled.isStored = true;
    this.#endRenewal ??= this.#host.every(this.#host.windowMs / 2, () => this.#renew());
    this.#save(stored);
  }

  /** The session has been resumed, and this token was sent to its client. */
  resumed(session: ConnectionSession, token: string): void {
    const stored = this.#live.get(session);
    if (stored === undefined || stored.tokens.at(-1) !== token) return;
    stored.tokens = [...stored.tokens, this.#tokenAfter(token)].slice(-MAX_TOKENS);
    this.#save(stored);
  }

  #tokenAfter(token: string): string {
    return token.slice(0, ID_DIGITS) + this.#host.newToken().slice(ID_DIGITS);
  }

  /**
   * The connection has ended.
   * @param isKept whether the client may request it from the next server
   * @param mayAskAgain whether the client may not have received its token, and may request the previous session again
   * @param isClosed whether CLOSE was sent, after which the client requests it only if CLOSE didn't arrive
   */
  ended(session: ConnectionSession, isKept: boolean, mayAskAgain = false, isClosed = false): void {
    const stored = this.#live.get(session);
    if (stored === undefined) return;
    const mayAskForFormer = mayAskAgain && stored.hasFormerOutbox;
    this.#live.delete(session);
    if (this.#byKey.get(stored.key) === stored) this.#byKey.delete(stored.key);
    session.handledMore = () => undefined;
    stored.outbox?.ended(mayAskForFormer || (isKept && !isClosed));
    if (isKept || mayAskForFormer) this.#save(stored);
    else this.#untilSettled(this.#forget(stored));
    if (this.#live.size > 0) return;
    this.#endRenewal?.();
    this.#endRenewal = null;
    this.#endRetries?.();
    this.#endRetries = null;
  }

  /**
   * Ends a session that another node takes over. Resolves with whether it was here and its last state is stored.
   */
  async release(key: string): Promise<boolean> {
    const stored = this.#byKey.get(key);
    if (stored === undefined) return false;
    stored.end();
    await stored.outbox?.settled();
    await stored.saving;
    if (stored.isDirty) {
      // Retry, because an earlier failure may have been temporary.
      this.#save(stored);
      await stored.saving;
    }
    return !stored.isDirty;
  }

  /** Resolves when all changes are written. */
  async settled(): Promise<void> {
    // A write may be followed by another one.
    while (this.#saving.size > 0) await Promise.all(this.#saving);
  }

  /** The outbox of a session; null if the session has ended. */
  outboxOf(session: ConnectionSession, sender: RepeatingSender): Outbox | null {
    const stored = this.#live.get(session);
    if (stored === undefined) return null;
    if (stored.outbox !== null) return stored.outbox;
    const { store, codec, maxBytes } = this.#host;
    const id = stored.outboxId ?? stored.key.slice(KEY_PREFIX.length);
    stored.outboxId = id;
    const host = {
      store,
      codec,
      maxBytes,
      wallClock: () => this.#host.wallClock(),
      recorded: () => this.#recorded(stored),
      removing: (removal: Promise<void>) => this.#untilSettled(removal),
      storeFailed: (error: unknown) => this.#host.storeFailed(error),
      undelivered: (error: ConduitError, type: string | null, count: number) =>
        this.#host.undelivered(error, type, count),
      every: (delayMs: number, task: () => void) => this.#host.every(delayMs, task),
    };
    stored.outbox = new Outbox(id, host, sender);
    this.#save(stored);
    return stored.outbox;
  }

  #untilSettled(writing: Promise<void>): void {
    this.#saving.add(writing);
    void writing.finally(() => this.#saving.delete(writing));
  }

  /** @throws ConduitError STORE_FAILED */
  async #recorded(stored: StoredSession): Promise<void> {
    await stored.saving;
    if (stored.isDirty && stored.saving === null) {
      throw new ConduitError(ErrorCode.STORE_FAILED, "The store doesn't have the session");
    }
  }

  #renew(): void {
    for (const stored of this.#live.values()) this.#save(stored);
  }

  #retry(): void {
    this.#endRetries?.();
    this.#endRetries = null;
    for (const stored of this.#live.values()) if (stored.isDirty) this.#save(stored);
  }

  #save(stored: StoredSession): void {
    stored.isDirty = true;
    if (stored.saving !== null) return;
    const saving = this.#saveAll(stored).finally(() => {
      stored.saving = null;
      this.#saving.delete(saving);
    });
    stored.saving = saving;
    this.#saving.add(saving);
  }

  async #saveAll(stored: StoredSession): Promise<void> {
    const { store, codec, windowMs, storeFailed } = this.#host;
    while (stored.isDirty) {
      stored.isDirty = false;
      const { key, owner, session, tokens, outboxId: outbox } = stored;
      const handled = session.handled?.handled ?? 0;
      const above = session.handled?.handledAbove ?? [];
      const unfinished = session.handled?.unfinished ?? 0;
      try {
        const hashes = await Promise.all(tokens.map((token) => this.#hash(token)));
        const record = codec.encode({
          owner,
          tokens: hashes,
          handled,
          above,
          unfinished,
          place: this.#host.place(),
          ...(outbox === null ? {} : { outbox }),
        });
        await store.put(key, record, 2 * windowMs);
        stored.kept = tokens;
        if (this.#live.has(session)) session.tellHandled(handled);
      } catch (error) {
        stored.isDirty = true;
        storeFailed(error);
        if (this.#live.size > 0) this.#endRetries ??= this.#host.every(RETRY_MS, () => this.#retry());
        return;
      }
    }
  }

  async #forget(stored: StoredSession): Promise<void> {
    try {
      await stored.saving;
      await this.#host.store.delete(stored.key);
    } catch (error) {
      this.#host.storeFailed(error);
    }
  }

  async #hash(token: string): Promise<string> {
    return toHex(await this.#host.sha256(utf8(token)));
  }
}

/** The store key for a token. Only hexadecimal digits are used, because tokens come from unauthenticated peers. */
export function keyOf(token: string): string {
  return `${KEY_PREFIX}${/^[0-9a-f]{64}$/.test(token) ? token.slice(0, ID_DIGITS) : "none"}`;
}
