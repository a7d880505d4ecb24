/**
 * A session's stored outgoing messages (`ack: { stored: true }`), which stay in the store until the client's handler
 * has returned.
 *
 * A message is written to the store, then sent like any message with `ack`. If this process ends first, the next
 * server that the client reconnects to sends it again with the same key, so that the client handles it once. The
 * outbox keeps its id when the session moves to another server. In a shared store, the new server marks the messages
 * as its own, because the previous server may still have the session and removes its own messages when it ends. It
 * then records that it has taken over the outbox. The previous server reads this record when it stops, to learn whether
 * its later messages will be found.
 */

import { type AckOptions, type RepeatingSender, sendAcknowledged } from "../endpoint/acknowledged-send.ts";
import { ConduitError, cancelledError, ErrorCode, isInstance, messageOf } from "../errors.ts";
import type { Codec } from "../rpc/answer-record.ts";
import type { Store } from "../store/store.ts";
import { isMap } from "../util/is-map.ts";
import { utf8 } from "../util/utf8.ts";
import type { Metadata } from "../wire/metadata.ts";

/** TTL of a stored message. */
const KEPT_MS = 3_600_000;
/** Maximum number of waiting messages for one client. */
const MAX_WAITING = 10_000;
/** Maximum number of messages to take over from another server, including those stored during the look-up. */
const MAX_LISTED: number = 2 * MAX_WAITING;
/** Delay before a failed look-up or removal is repeated. */
const RETRY_MS = 1000;
const TIME_DIGITS = 14;
const NUMBER_DIGITS = 9;

export type StoredSendOptions = AckOptions & { readonly meta?: Metadata | undefined };

export interface OutboxHost {
  readonly store: Store;
  readonly codec: Codec;
  /** Maximum number of bytes of waiting messages. */
  readonly maxBytes: number;
  /** Unix milliseconds. */
  wallClock(): number;
  /** Resolves when the session's record in the store has this outbox's id. @throws ConduitError STORE_FAILED */
  recorded(): Promise<void>;
  /** Registers a removal, which a stopping server waits for. It never rejects. */
  removing(removal: Promise<void>): void;
  storeFailed(error: unknown): void;
  /** Reports stored messages that won't be delivered. */
  /** @param type null if unknown */
  undelivered(error: ConduitError, type: string | null, count: number): void;
  /** Runs `task` until the returned function is called. Doesn't keep the process running. */
  every(delayMs: number, task: () => void): () => void;
}

interface Waiting {
  readonly type: string;
  readonly bytes: number;
  /** Whether it was stored. Until then, failures go to its sender. */
  isStored: boolean;
}

/** A stored message taken over from another server. */
interface Claimed {
  readonly record: Record<string, unknown>;
  readonly bytes: number;
}

export class Outbox {
  readonly #id: string;
  /** Id with which this process marks messages that it takes over. */
  readonly #holder: string = crypto.randomUUID();
  readonly #host: OutboxHost;
  readonly #sender: RepeatingSender;
  /** Messages by key in the store. */
  readonly #waiting = new Map<string, Waiting>();
  readonly #writing = new Set<Promise<void>>();
  #bytes = 0;
  #count = 0;
  /** Null until the connection has ended; `kept` if the client may continue at another server. */
  #end: "kept" | "dropped" | null = null;
  #isListing = false;
  #endRetries: (() => void) | null = null;
  /** Keys whose removal has failed. The next server would deliver these messages again. */
  readonly #unremoved = new Set<string>();
  #endRemoving: (() => void) | null = null;
  #isRemoving = false;
  /** The time in the last key, written by this process or an earlier one. */
  #lastTime = 0;

  constructor(id: string, host: OutboxHost, sender: RepeatingSender) {
    this.#id = id;
    this.#host = host;
    this.#sender = sender;
  }

  /**
   * Resolves when the message is stored.
   * @throws ConduitError UNSERIALIZABLE, SEND_QUEUE_FULL, STORE_FAILED, CONNECTION_CLOSED, CANCELLED
   */
  async send(type: string, data: unknown, options: StoredSendOptions): Promise<void> {
    const { codec, maxBytes, wallClock } = this.#host;
    this.#mustBeOpen(type);
    const { once = crypto.randomUUID(), deliveries, meta, signal } = options;
    const isGivenUp = (): boolean => signal?.aborted === true;
    if (isGivenUp()) throw cancelledError(type, signal?.reason);
    const record = codec.encode({ once, type, data: data ?? null, deliveries, meta });
    if (this.#bytes + record.length > maxBytes || this.#waiting.size >= MAX_WAITING) {
      const message =
        `Cannot send '${type}': ${this.#waiting.size} stored messages with ${this.#bytes} bytes wait for this client, of ` +
        `at most ${MAX_WAITING} with ${maxBytes} bytes`;
      throw new ConduitError(ErrorCode.SEND_QUEUE_FULL, message);
    }
    // Encoded now, because the program may change its data while the store writes.
    const value = this.#sender.context.writer(Number.MAX_SAFE_INTEGER, false).encodeData(type, data ?? null);
    // Messages are delivered in the order of their keys, even if the system clock is set back.
    this.#lastTime = Math.max(this.#lastTime, wallClock());
    const time = String(this.#lastTime).padStart(TIME_DIGITS, "0");
    const number = String(this.#count++).padStart(NUMBER_DIGITS, "0");
    const key = `outbox/${this.#id}/${time}${number}-${crypto.randomUUID()}`;
    const waiting: Waiting = { type, bytes: record.length, isStored: false };
    this.#waiting.set(key, waiting);
    this.#bytes += record.length;
    const writing = this.#write(key, record);
    this.#writing.add(writing);
    try {
      await writing;
    } catch (cause) {
      // A store that didn't answer in time may have stored it, or may do so later.
      this.#remove(key);
      if (isInstance(cause, ConduitError)) throw cause;
      const message = `Cannot send '${type}': the store failed: ${messageOf(cause)}`;
      throw new ConduitError(ErrorCode.STORE_FAILED, message, { cause });
    } finally {
      this.#writing.delete(writing);
    }
    if (isGivenUp() || this.#end === "dropped" || (this.#end === "kept" && (await this.#hasMoved()))) {
      this.#remove(key);
      throw isGivenUp() ? cancelledError(type, signal?.reason) : closed(type);
    }
    waiting.isStored = true;
    void this.#deliver(key, type, value, { ...options, once, signal: undefined });
  }

  /** Sends the messages left by another server. Never rejects. */
  async redeliver(): Promise<void> {
    if (this.#isListing) return;
    this.#isListing = true;
    const { storeFailed, every } = this.#host;
    try {
      await this.#takeOver();
      this.#endRetries?.();
      this.#endRetries = null;
    } catch (error) {
      storeFailed(error);
      if (this.#end === null) this.#endRetries ??= every(RETRY_MS, () => void this.redeliver());
    } finally {
      this.#isListing = false;
    }
  }

  async #takeOver(): Promise<void> {
    const { store } = this.#host;
    await this.#claimAll();
    if (!store.isShared || this.#end !== null) return;
    await store.put(this.#placeKey, utf8(this.#holder), KEPT_MS);
    // Messages that the previous server has stored in the meantime.
    await this.#claimAll();
  }

  async #claimAll(): Promise<void> {
    const { store } = this.#host;
    const prefix = `outbox/${this.#id}/`;
    const listed = await store.keys(prefix, MAX_LISTED);
    const last = listed.at(-1)?.slice(prefix.length) ?? "";
    // After those with the same time, whose numbers started from 0.
    this.#lastTime = Math.max(this.#lastTime, Number(last.slice(0, TIME_DIGITS)) + 1);
    const keys = listed.filter((key) => !this.#waiting.has(key) && !this.#unremoved.has(key));
    for (const [index, key] of keys.entries()) {
      const claimed = this.#end === null ? await this.#claim(key) : null;
      if (this.#end !== null) {
        if (this.#end === "dropped") this.#drop(keys.slice(index), null);
        return;
      }
      if (claimed === null) continue;
      const { once, type, data, deliveries, meta } = claimed.record;
      if (typeof once !== "string" || typeof type !== "string") continue;
      this.#waiting.set(key, { type, bytes: claimed.bytes, isStored: true });
      this.#bytes += claimed.bytes;
      const options = { once, deliveries: deliveries ?? undefined, meta: meta ?? undefined };
      void this.#deliver(key, type, data, options as StoredSendOptions);
    }
  }

  /**
   * Reads a message, and marks it in a shared store as taken over by this server. Null if it was removed or can't be
   * decoded, which is reported.
   */
  async #claim(key: string): Promise<Claimed | null> {
    const { store, codec, storeFailed } = this.#host;
    const bytes = await store.get(key);
    const record = bytes === null ? null : this.#decoded(bytes);
    if (bytes === null || record === null) return null;
    if (store.isShared) {
      const marked = codec.encode({ ...record, holder: this.#holder });
      await store.put(key, marked, Math.max(1, this.#leftMs(key))).catch(storeFailed);
    }
    return { record, bytes: bytes.length };
  }

  #decoded(bytes: Uint8Array): Record<string, unknown> | null {
    try {
      const record = this.#host.codec.decode(bytes);
      return isMap(record) ? record : null;
    } catch (cause) {
      this.#host.storeFailed(new ConduitError(ErrorCode.STORE_FAILED, "A stored message can't be read", { cause }));
      return null;
    }
  }

  /** Remaining TTL of a message. */
  #leftMs(key: string): number {
    const time = Number(key.slice(`outbox/${this.#id}/`.length).slice(0, TIME_DIGITS));
    return Math.min(KEPT_MS, time + KEPT_MS - this.#host.wallClock());
  }

  /** Resolves when no write is pending. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#writing);
  }

  /**
   * The connection has ended.
   * @param isKept whether the client may continue at another server
   */
  ended(isKept: boolean): void {
    this.#end = isKept ? "kept" : "dropped";
    this.#endRetries?.();
    this.#endRetries = null;
    this.#endRemoving?.();
    this.#endRemoving = null;
    const stored = [...this.#waiting].filter(([, { isStored }]) => isStored);
    if (isKept) {
      if (stored.length > 0) this.#host.removing(this.#leave(stored));
      return;
    }
    for (const [key] of stored) this.#forget(key);
    if (this.#host.store.isShared) this.#host.removing(this.#dropOwn(stored));
    else this.#dropAll(stored);
  }

  /** Leaves messages to the next server, unless one has already taken over the outbox and won't look again. */
  async #leave(stored: readonly (readonly [key: string, Waiting])[]): Promise<void> {
    if (await this.#hasMoved()) await this.#dropOwn(stored);
  }

  /** Whether another server has taken over this outbox; false if unknown. Never rejects. */
  async #hasMoved(): Promise<boolean> {
    const { store, storeFailed } = this.#host;
    if (!store.isShared) return false;
    try {
      const holder = await store.get(this.#placeKey);
      return holder !== null && new TextDecoder().decode(holder) !== this.#holder;
    } catch (error) {
      storeFailed(error);
      return false;
    }
  }

  get #placeKey(): string {
    return `outbox-holder/${this.#id}`;
  }

  /** Drops messages, except those that another server has taken over. */
  async #dropOwn(stored: readonly (readonly [key: string, Waiting])[]): Promise<void> {
    const own: (readonly [key: string, Waiting])[] = [];
    for (const one of stored) if (await this.#isOwn(one[0])) own.push(one);
    this.#dropAll(own);
  }

  #dropAll(stored: readonly (readonly [key: string, Waiting])[]): void {
    const [first] = stored;
    if (first === undefined) return;
    const keys = stored.map(([key]) => key);
    this.#drop(keys, first[1].type);
  }

  /** Whether no other server has taken over a message. True if unknown, because a false report is better than none. */
  async #isOwn(key: string): Promise<boolean> {
    const { store, codec, storeFailed } = this.#host;
    try {
      const bytes = await store.get(key);
      // Another server has delivered it, unless it has expired.
      if (bytes === null) return this.#leftMs(key) <= 0;
      const record = codec.decode(bytes);
      return !isMap(record) || record["holder"] === undefined || record["holder"] === this.#holder;
    } catch (error) {
      storeFailed(error);
      return true;
    }
  }

  /** Reports and removes messages that won't be delivered. @param type the type of the first; null if unknown */
  #drop(keys: readonly string[], type: string | null): void {
    const count = keys.length;
    const named = count === 1 ? `'${type}'` : `the first is '${type}'`;
    const of = type === null ? "an earlier server's" : named;
    const what = count === 1 ? "1 stored message" : `${count} stored messages`;
    const message = `Not delivered, because the session has ended: ${what} (${of})`;
    this.#host.undelivered(new ConduitError(ErrorCode.NOT_DELIVERED, message, { details: { count } }), type, count);
    for (const key of keys) this.#delete(key);
  }

  async #write(key: string, record: Uint8Array): Promise<void> {
    await this.#host.recorded();
    await this.#host.store.put(key, record, KEPT_MS);
  }

  async #deliver(key: string, type: string, data: unknown, options: StoredSendOptions): Promise<void> {
    try {
      await sendAcknowledged(this.#sender, type, data, { ...options, isTaken: true });
    } catch (error) {
      // `ended` decides whether another server will send it.
      if (this.#sender.isOver()) return;
      const message = `A stored message '${type}' was not delivered: ${messageOf(error)}`;
      this.#host.undelivered(new ConduitError(ErrorCode.NOT_DELIVERED, message, { cause: error }), type, 1);
    }
    this.#remove(key);
  }

  #remove(key: string): void {
    this.#forget(key);
    this.#delete(key);
  }

  #forget(key: string): void {
    this.#bytes -= this.#waiting.get(key)?.bytes ?? 0;
    this.#waiting.delete(key);
  }

  #delete(key: string): void {
    const { store, removing } = this.#host;
    removing(store.delete(key).catch((error: unknown) => this.#notRemoved(key, error)));
  }

  #notRemoved(key: string, error: unknown): void {
    const { storeFailed, every, removing } = this.#host;
    storeFailed(error);
    if (this.#end !== null) return;
    this.#unremoved.add(key);
    // The oldest are left to expire.
    if (this.#unremoved.size > MAX_WAITING) this.#unremoved.delete(this.#unremoved.keys().next().value as string);
    this.#endRemoving ??= every(RETRY_MS, () => removing(this.#removeAgain()));
  }

  /** Never rejects. */
  async #removeAgain(): Promise<void> {
    if (this.#isRemoving) return;
    this.#isRemoving = true;
    try {
      for (const key of this.#unremoved) {
        await this.#host.store.delete(key);
        this.#unremoved.delete(key);
      }
      this.#endRemoving?.();
      this.#endRemoving = null;
    } catch (error) {
      this.#host.storeFailed(error);
    } finally {
      this.#isRemoving = false;
    }
  }

  #mustBeOpen(type: string): void {
    if (this.#sender.isOver()) throw closed(type);
  }
}

function closed(type: string): ConduitError {
  return new ConduitError(ErrorCode.CONNECTION_CLOSED, `Cannot send '${type}': the connection has ended`);
}
