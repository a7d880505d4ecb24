/** A server's use of its store: answers to calls and messages with a key, and dead letters. */

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

/** The name of a store's keys of `ack` and `once`. */
const ONCE_KEYS = "once-keys";
/** Less than the longest time of any store. Servers that have the name go on with it. */
const ONCE_KEYS_MS: number = 30 * 24 * 60 * 60 * 1000;

/** How long a server's start waits for its store. */
const MAX_BEGIN_MS = 2000;

export class ServerStore<Peer> {
  readonly deadLetters: DeadLetters;
  /** Null without a store. */
  readonly sessions: StoredSessions | null;
  readonly #core: EndpointCore<Peer>;
  /** The option; null for none. */
  readonly #given: Store | null;
  readonly #store: AnsweringStore | null;
  #answers: StoredAnswers | null = null;
  /** Names the keys of `ack` and `once` that this server knows; null while its store hasn't said so. */
  #onceKeys: string | null = null;
  #isAskingForKeys = false;
  readonly #reports = new ReportWindows<ConduitError>(REPORT_WINDOW_MS);

  /** @param place the node that this server is; null without a cluster */
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
    // They end with this server.
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

  /** Servers that have the same know the same keys. Null if the store can't say: then it is asked again. */
  nameOnceKeys(): string | null {
    if (this.#onceKeys === null) void this.#askForKeys();
    return this.#onceKeys;
  }

  /** Resolves when the store has said which keys it has, has failed, or takes too long. */
  async begin(): Promise<void> {
    if (this.#store === null) return;
    const deadline = withDeadline(this.#core.runtimeContext.runtime, MAX_BEGIN_MS);
    await deadline.race(this.#askForKeys());
    deadline.cancel();
  }

  /** A store that fails costs only that. */
  async #askForKeys(): Promise<void> {
    const store = this.#store;
    if (store === null || this.#isAskingForKeys) return;
    this.#isAskingForKeys = true;
    try {
      await store.create(ONCE_KEYS, utf8(crypto.randomUUID()), ONCE_KEYS_MS);
      const kept = await store.get(ONCE_KEYS);
      this.#onceKeys = kept === null ? null : new TextDecoder().decode(kept);
      // It is kept for as long as servers start, or until all keys from before are over.
      if (kept !== null) await store.put(ONCE_KEYS, kept, ONCE_KEYS_MS);
    } catch (error) {
      this.#onceKeys = null;
      this.failed(error);
    } finally {
      this.#isAskingForKeys = false;
    }
  }

  /** Reserves the store for this server. Returns a function that ends that. @throws ConduitError STORE_IN_USE */
  claim(): () => void {
    return this.#given === null ? () => undefined : claimStore(this.#given, this);
  }

  /** Reported once a second and code, with the number. */
  failed(thrown: unknown): void {
    const error = isInstance(thrown, ConduitError)
      ? thrown
      : new ConduitError(ErrorCode.STORE_FAILED, `The store failed: ${messageOf(thrown)}`, { cause: thrown });
    const count = this.#reports.add(error.code, error, this.#core.now());
    if (count > 0) this.#core.report(error, { stage: "store", count });
  }

  /** Waits a while for pending writes, and reports the rest of the failures. */
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
