/**
 * Keeps answers in a store, where they outlive the process.
 *
 * Theory of operation. A record is stored before a handler starts, and the answer after it has finished. A record
 * without an answer, from another process that has ended, means that a handler was interrupted: a message is then
 * delivered again with the next delivery number, and a call is answered with OUTCOME_UNKNOWN. If the start can't be
 * stored, the handler isn't started. If the answer can't be stored, this process keeps it and retries until it is
 * stored, because other processes would treat the handler as interrupted.
 */

import { ConduitError, ErrorCode, RpcError } from "../errors.ts";
import type { Store } from "../store/store.ts";
import { toHex } from "../util/hex.ts";
import { utf8 } from "../util/utf8.ts";
import {
  type Begun,
  begunRecord,
  type Codec,
  type Ended,
  endedRecord,
  keptAnswer,
  notKept,
  readRecord,
} from "./answer-record.ts";
import { isRepeatable, MemoryAnswers } from "./memory-answers.ts";
import type { Answers, OnceAnswer, OnceRequest } from "./once-window.ts";
import { OwnerBudget } from "./owner-budget.ts";

/** Larger answers aren't stored, because some stores have such a limit. */
const MAX_ANSWER_BYTES: number = 256 * 1024;
/** Bytes of a record besides its value. */
const RECORD_BYTES = 256;
/** Interval at which a process renews its record of a running handler in a shared store. */
const SIGN_OF_LIFE_MS = 10_000;
const LEASE_MS = 30_000;
/** Interval of retries to store answers. */
const KEEP_AGAIN_MS = 1000;
/** A handler that was interrupted this many times isn't started again, unless the sender requests more deliveries. */
const MIN_INTERRUPTED = 3;
const RETRY_AFTER_SECONDS = 1;

/** Renews the record of a running handler. */
interface SignsOfLife {
  readonly end: () => void;
  /** The last write; null if there was none. */
  last: Promise<void> | null;
}

export interface StoredAnswersHost {
  readonly store: Store;
  readonly codec: Codec;
  /** How long a key is kept. */
  readonly onceMs: number;
  /** Id of this process. */
  readonly run: string;
  /** Monotonic milliseconds. */
  now(): number;
  /** Unix milliseconds. */
  wallClock(): number;
  sha256(bytes: Uint8Array): Uint8Array | Promise<Uint8Array>;
  /** Runs `task` until the returned function is called. Doesn't keep the process running. */
  every(delayMs: number, task: () => void): () => void;
  storeFailed(error: unknown): void;
  /** A message's handlers were interrupted the maximum number of times. */
  interrupted(owner: string, request: OnceRequest, error: RpcError, delivery: number): void;
  /** Maximum bytes of one user's keys within one to two times `onceMs`. */
  readonly maxOwnerBytes: number;
}

export class StoredAnswers implements Answers {
  readonly #host: StoredAnswersHost;
  /** Answers that couldn't be stored. */
  readonly #unsaved: MemoryAnswers;
  readonly #budget: OwnerBudget;
  /** Renewals of running handlers, by id. */
  readonly #alive = new Map<string, SignsOfLife>();
  /** Deliveries whose answers aren't stored, by id. */
  readonly #unkept = new Map<string, number>();
  #endKeeping: (() => void) | null = null;
  #isKeeping = false;
  #hasStopped = false;

  constructor(host: StoredAnswersHost) {
    this.#host = host;
    this.#unsaved = new MemoryAnswers(host.codec, () => host.now(), host.onceMs);
    this.#budget = new OwnerBudget(host.onceMs, host.maxOwnerBytes);
  }

  async begin(owner: string, id: string, request: OnceRequest): Promise<OnceAnswer | number> {
    this.#hasStopped = false;
    this.#keepLater();
    const unsaved = this.#unsaved.find(id);
    if (unsaved !== null && !isRepeatable(unsaved, request.delivery)) return unsaved.answer;
    // Don't drop keys early, because their calls would run again.
    if (this.#unsaved.isFull) throw refusal(ErrorCode.STORE_FAILED, "Too many answers wait for the store");
    if (!this.#budget.charge(owner, RECORD_BYTES, this.#host.now())) {
      throw refusal(ErrorCode.STORE_FULL, "Too much is kept for this user");
    }
    try {
      return await this.#begin(owner, id, request);
    } catch (error) {
      if (error instanceof RpcError) throw error;
      this.#host.storeFailed(error);
      const isFull = error instanceof ConduitError && error.code === ErrorCode.STORE_FULL;
      throw refusal(isFull ? ErrorCode.STORE_FULL : ErrorCode.STORE_FAILED, "The server can't keep the key now");
    }
  }

  async #begin(owner: string, id: string, request: OnceRequest): Promise<OnceAnswer | number> {
    const { store, codec } = this.#host;
    const key = await this.#keyOf(id);
    if (await store.create(key, this.#begunNow(1), this.#host.onceMs)) return this.#started(id, key, 1);
    // The key already existed.
    this.#budget.refund(owner, RECORD_BYTES);
    const bytes = await store.get(key);
    const record = bytes === null ? null : readRecord(codec, bytes);
    if (record === null) throw refusal(ErrorCode.STORE_FAILED, "The key has just expired, or isn't readable");
    if ("answer" in record) {
      return isRepeatable(record, request.delivery) ? this.#beginAgain(id, key, record.delivery + 1) : record.answer;
    }
    if (this.#neverStarted(id, record)) return this.#beginAgain(id, key, record.delivery);
    if (this.#isUnderWay(record)) {
      // By then it has ended, was renewed, or counts as interrupted.
      const leftMs = record.untilMs - this.#host.wallClock();
      throw refusal(ErrorCode.RATE_LIMITED, "Another server carries it out now", Math.ceil(leftMs / 1000));
    }
    return this.#goOn(owner, id, key, request, record);
  }

  /** Continues after a handler was interrupted by the end of its process. */
  async #goOn(
    owner: string,
    id: string,
    key: string,
    request: OnceRequest,
    record: Begun,
  ): Promise<OnceAnswer | number> {
    const { delivery } = record;
    if (!request.isCall && delivery < Math.max(request.deliveries, MIN_INTERRUPTED)) {
      return this.#beginAgain(id, key, delivery + 1);
    }
    const what = `'${request.name}' was interrupted by the end of the server's process`;
    const message = request.isCall
      ? `${what}: it is unknown whether it ran to completion`
      : `${what} ${delivery} times`;
    const error = new RpcError(ErrorCode.OUTCOME_UNKNOWN, message, { details: { deliveries: delivery } });
    const answer = { error };
    await this.#host.store.put(key, endedRecord(this.#host.codec, { delivery, answer }), this.#host.onceMs);
    if (!request.isCall) this.#host.interrupted(owner, request, error, delivery);
    return answer;
  }

  async #beginAgain(id: string, key: string, delivery: number): Promise<number> {
    await this.#host.store.put(key, this.#begunNow(delivery), this.#host.onceMs);
    return this.#started(id, key, delivery);
  }

  #started(id: string, key: string, delivery: number): number {
    const { store, every } = this.#host;
    if (store.isShared) {
      const signs: SignsOfLife = {
        end: every(SIGN_OF_LIFE_MS, () => {
          signs.last = this.#showLife(key, delivery);
        }),
        last: null,
      };
      this.#alive.set(id, signs);
    }
    return delivery;
  }

  /** Never rejects. */
  async #showLife(key: string, delivery: number): Promise<void> {
    try {
      await this.#host.store.put(key, this.#begunNow(delivery), this.#host.onceMs);
    } catch (error) {
      this.#host.storeFailed(error);
    }
  }

  async end(owner: string, id: string, delivery: number, answer: OnceAnswer): Promise<OnceAnswer> {
    const { codec } = this.#host;
    const signs = this.#alive.get(id);
    signs?.end();
    this.#alive.delete(id);
    const ended: Ended = { delivery, answer };
    const record = endedRecord(codec, ended);
    const sent = keptAnswer(codec, record, answer);
    const mayKeep = record.length <= MAX_ANSWER_BYTES && this.#budget.charge(owner, record.length, this.#host.now());
    // A store may reorder writes, and the answer must be last.
    await signs?.last;
    try {
      const isKept = await this.#keep(id, delivery, record, mayKeep);
      if (!isKept && this.#unsaved.hasRoom(record.length)) this.#unsaved.end(owner, id, delivery, sent);
    } catch (error) {
      this.#unsaved.end(owner, id, delivery, sent);
      this.#host.storeFailed(error);
      this.#unkept.set(id, delivery);
      this.#keepLater();
    }
    return sent;
  }

  /**
   * Stores an answer, or a note that it was too large. Resolves with whether the answer itself was stored.
   * @param mayKeep whether there is room for it
   */
  async #keep(id: string, delivery: number, record: Uint8Array, mayKeep: boolean): Promise<boolean> {
    const { store, codec, onceMs } = this.#host;
    const key = await this.#keyOf(id);
    if (mayKeep) {
      try {
        await store.put(key, record, onceMs);
        return true;
      } catch (error) {
        if (!(error instanceof ConduitError) || error.code !== ErrorCode.MESSAGE_TOO_LARGE) throw error;
      }
    }
    await store.put(key, notKept(codec, delivery, record.length), onceMs);
    return false;
  }

  #keepLater(): void {
    if (this.#hasStopped || this.#unkept.size === 0) return;
    this.#endKeeping ??= this.#host.every(KEEP_AGAIN_MS, () => void this.#keepAgain());
  }

  /** Never rejects. */
  async #keepAgain(): Promise<void> {
    if (this.#isKeeping) return;
    this.#isKeeping = true;
    try {
      for (const [id, delivery] of this.#unkept) {
        const unsaved = this.#unsaved.find(id);
        const isWanted = unsaved?.delivery === delivery && (await this.#isStillBegun(id, delivery));
        if (unsaved !== null && isWanted) {
          const record = endedRecord(this.#host.codec, unsaved);
          await this.#keep(id, delivery, record, record.length <= MAX_ANSWER_BYTES);
        }
        if (this.#unkept.get(id) === delivery) this.#unkept.delete(id);
      }
      if (this.#unkept.size === 0) this.#stopKeeping();
    } catch (error) {
      this.#host.storeFailed(error);
    } finally {
      this.#isKeeping = false;
    }
  }

  /** Whether no other process has continued this process's delivery. */
  async #isStillBegun(id: string, delivery: number): Promise<boolean> {
    const { store, codec, run } = this.#host;
    const bytes = await store.get(await this.#keyOf(id));
    const record = bytes === null ? null : readRecord(codec, bytes);
    return record !== null && "run" in record && record.run === run && record.delivery === delivery;
  }

  #stopKeeping(): void {
    this.#endKeeping?.();
    this.#endKeeping = null;
  }

  /**
   * The server has stopped. Handlers that are still running count as interrupted when their records expire. Resolves
   * after a last attempt to store answers. Never rejects.
   */
  stop(): Promise<void> {
    this.#hasStopped = true;
    for (const { end } of this.#alive.values()) end();
    this.#alive.clear();
    this.#stopKeeping();
    return this.#keepAgain();
  }

  /**
   * Whether the record was stored although the store rejected, so that nothing was started. Not called for running
   * deliveries.
   */
  #neverStarted(id: string, { run, delivery }: Begun): boolean {
    const unsaved = this.#unsaved.find(id);
    return run === this.#host.run && (unsaved === null || unsaved.delivery < delivery);
  }

  #isUnderWay({ run, untilMs }: Begun): boolean {
    const { store } = this.#host;
    return store.isShared && run !== this.#host.run && untilMs > this.#host.wallClock();
  }

  #begunNow(delivery: number): Uint8Array {
    const { codec, run } = this.#host;
    return begunRecord(codec, { delivery, run, untilMs: this.#host.wallClock() + LEASE_MS });
  }

  async #keyOf(id: string): Promise<string> {
    return `once/${toHex(await this.#host.sha256(utf8(id)))}`;
  }
}

function refusal(code: number, message: string, retryAfter: number = RETRY_AFTER_SECONDS): RpcError {
  return new RpcError(code, message, { details: { retry_after: retryAfter, started: false } });
}
