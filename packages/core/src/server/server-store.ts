/** A server's part of its store: answers to calls and messages with a key, and dead letters. */

import { nameInIdentity } from "../auth/user.ts";
import type { DeadLetter } from "../endpoint/dead-letter.ts";
import type { EndpointCore } from "../endpoint/endpoint-core.ts";
import type { ServerResumeSettings } from "../endpoint/resume-option.ts";
import { ConduitError, ErrorCode, isInstance, messageOf } from "../errors.ts";
import { MAX_STORED_ONCE_BYTES, REPORT_WINDOW_MS } from "../limits.ts";
import { StoredAnswers } from "../rpc/stored-answers.ts";
import type { Runtime } from "../runtime.ts";
import { AnsweringStore } from "../store/answering-store.ts";
import type { Store } from "../store/store.ts";
import { claimStore } from "../store/store-claims.ts";
import { toHex } from "../util/hex.ts";
import { ReportWindows } from "../util/report-windows.ts";
import { withDeadline } from "../util/time.ts";
import { utf8 } from "../util/utf8.ts";
import { DeadLetters } from "./dead-letters.ts";
import { SESSION_TOKEN_BYTES } from "./sessions.ts";
import { type SessionPlace, StoredSessions } from "./stored-sessions.ts";

/** The store's key for the id of its set of `ack` and `once` keys. */
const ONCE_KEYS = "once-keys";
/** Less than the longest TTL of any store. Running servers keep using the id after it expires. */
const ONCE_KEYS_MS: number = 30 * 24 * 60 * 60 * 1000;

/** How long `start` waits for the store. */
const MAX_BEGIN_MS = 2000;

export class ServerStore<Peer> {
  readonly deadLetters: DeadLetters;
  /** Null without a store. */
  readonly sessions: StoredSessions | null;
  readonly #core: EndpointCore<Peer>;
  /** The option `store`; null for none. */
  readonly #given: Store | null;
  readonly #store: AnsweringStore | null;
  #answers: StoredAnswers | null = null;
  /** Id of the set of `ack` and `once` keys that this server has; null until the store has answered. */
  #onceKeys: string | null = null;
  #isAskingForKeys = false;
  readonly #reports = new ReportWindows<ConduitError>(REPORT_WINDOW_MS);

  /** @param place this server's node; null without a cluster */
  constructor(
    core: EndpointCore<Peer>,
    runtime: Runtime,
    settings: ServerResumeSettings | null,
    place: () => SessionPlace | null,
  ) {
    this.#core = core;
    this.#given = settings?.store ?? null;
    const store = this.#given === null ? null : new AnsweringStore(this.#given, core.runtimeContext.wheel);
    this.#store = store;
    // Without a store, the keys end with this server.
    if (store === null) this.#onceKeys = crypto.randomUUID();
    this.deadLetters = new DeadLetters(
      store === null
        ? null
        : { store, codec: core.codec, now: () => runtime.now(), storeFailed: (error) => this.failed(error) },
    );
    this.sessions = settings === null || store === null ? null : this.#storedSessions(runtime, store, settings, place);
    if (settings === null || store === null) return;
    core.keepDeadLetter = (letter: DeadLetter) => this.deadLetters._keep(letter);
    core.answers = () => {
      this.#answers = this.#storedAnswers(runtime, store, settings.onceMs);
      return this.#answers;
    };
  }

  /** Servers with the same id share their keys. Null if the store hasn't answered, in which case it is asked again. */
  nameOnceKeys(): string | null {
    if (this.#onceKeys === null) void this.#askForKeys();
    return this.#onceKeys;
  }

  /** Resolves when the id of the keys is known, the store has failed, or the time is up. */
  async begin(): Promise<void> {
    if (this.#store === null) return;
    const deadline = withDeadline(this.#core.runtimeContext.runtime, MAX_BEGIN_MS);
    await deadline.race(this.#askForKeys());
    deadline.cancel();
  }

  /** Never rejects: without an id, the server doesn't name the keys it shares. */
  async #askForKeys(): Promise<void> {
    const store = this.#store;
    if (store === null || this.#isAskingForKeys) return;
    this.#isAskingForKeys = true;
    try {
      await store.create(ONCE_KEYS, utf8(crypto.randomUUID()), ONCE_KEYS_MS);
      const kept = await store.get(ONCE_KEYS);
      this.#onceKeys = kept === null ? null : new TextDecoder().decode(kept);
      // Renewed at each start, so that it outlives all keys stored before.
      if (kept !== null) await store.put(ONCE_KEYS, kept, ONCE_KEYS_MS);
    } catch (error) {
      this.#onceKeys = null;
      this.failed(error);
    } finally {
      this.#isAskingForKeys = false;
    }
  }

  /** Reserves the store for this server. Returns a function that releases it. @throws ConduitError STORE_IN_USE */
  claim(): () => void {
    return this.#given === null ? () => undefined : claimStore(this.#given, this);
  }

  /** Reports a failure; at most once a second for each code, with their number. */
  failed(thrown: unknown): void {
    const error = isInstance(thrown, ConduitError)
      ? thrown
      : new ConduitError(ErrorCode.STORE_FAILED, `The store failed: ${messageOf(thrown)}`, { cause: thrown });
    const count = this.#reports.add(error.code, error, this.#core.now());
    if (count > 0) this.#core.report(error, { stage: "store", count });
  }

  /** Waits up to `timeoutMs` for pending writes, and reports remaining failures. */
  async end(timeoutMs: number): Promise<void> {
    const kept = this.#answers?.stop();
    this.#isAskingForKeys = false;
    if (this.sessions !== null) {
      const deadline = withDeadline(this.#core.runtimeContext.runtime, timeoutMs);
      await deadline.race(Promise.all([this.sessions.settled(), this.deadLetters._settled(), kept]));
      deadline.cancel();
    }
    this.#store?.end();
    for (const { report, count } of this.#reports.end()) this.#core.report(report, { stage: "store", count });
  }

  #storedSessions(
    runtime: Runtime,
    store: AnsweringStore,
    { windowMs, maxBytes }: ServerResumeSettings,
    place: () => SessionPlace | null,
  ): StoredSessions {
    return new StoredSessions({
      store,
      codec: this.#core.codec,
      windowMs,
      maxBytes,
      place,
      newToken: () => toHex(runtime.crypto.randomBytes(SESSION_TOKEN_BYTES)),
      sha256: (bytes) => runtime.crypto.sha256(bytes),
      every: (delayMs, task) => every(runtime, delayMs, task),
      wallClock: () => runtime.wallClock(),
      storeFailed: (error) => this.failed(error),
      undelivered: (error, type, count) =>
        this.#core.report(error, { stage: "send", count, ...(type === null ? {} : { name: type }) }),
    });
  }

  #storedAnswers(runtime: Runtime, store: Store, onceMs: number): StoredAnswers {
    return new StoredAnswers({
      store,
      codec: this.#core.codec,
      onceMs,
      maxOwnerBytes: MAX_STORED_ONCE_BYTES,
      run: crypto.randomUUID(),
      now: () => runtime.now(),
      wallClock: () => runtime.wallClock(),
      sha256: (bytes) => runtime.crypto.sha256(bytes),
      every: (delayMs, task) => every(runtime, delayMs, task),
      storeFailed: (error) => this.failed(error),
      interrupted: (owner, request, error, deliveries) =>
        this.#core.deadLetterOf(nameInIdentity(owner), request, error, deliveries),
    });
  }
}

function every(runtime: Runtime, delayMs: number, task: () => void): () => void {
  const again = (): void => {
    timer = runtime.setTimer(again, delayMs, false);
    task();
  };
  let timer = runtime.setTimer(again, delayMs, false);
  return () => runtime.clearTimer(timer);
}
