/**
 * Messages to one session that the store has until the client's handler has returned: `ack: { stored: true }`.
 *
 * A message is written to the store, then sent as with `ack`. If this process ends first, the next server that the client
 * comes back to sends it again with the same key, so the client handles it once. The outbox keeps its id when the
 * session moves on to another server.
 */

import { type AckOptions, type RepeatingSender, sendAcknowledged } from "../endpoint/acknowledged-send.ts";
import { ConduitError, ErrorCode, isInstance, messageOf } from "../errors.ts";
import type { Codec } from "../rpc/answer-record.ts";
import type { Store } from "../store/store.ts";
import { isMap } from "../util/is-map.ts";
import type { Metadata } from "../wire/metadata.ts";

/** How long the store keeps a message at most. */
const KEPT_MS = 3_600_000;
/** Messages that another server has left. */
const MAX_LISTED = 20_000;
const TIME_DIGITS = 14;
const NUMBER_DIGITS = 6;

export type StoredSendOptions = AckOptions & { readonly meta?: Metadata | undefined };

export interface OutboxHost {
  readonly store: Store;
  readonly codec: Codec;
  /** Bytes of messages that may wait. */
  readonly maxBytes: number;
  /** Unix milliseconds. */
  wallClock(): number;
  /** Resolves when the store's record of the session names this outbox. @throws ConduitError STORE_FAILED */
  recorded(): Promise<void>;
  /** A server that stops waits for it. It never rejects. */
  removing(removal: Promise<void>): void;
  storeFailed(error: unknown): void;
  /** A stored message won't be delivered. */
  undelivered(error: ConduitError): void;
}

interface Waiting {
  readonly type: string;
  readonly bytes: number;
}

export class Outbox {
  readonly #id: string;
  readonly #host: OutboxHost;
  readonly #sender: RepeatingSender;
  /** By key in the store. */
  readonly #waiting = new Map<string, Waiting>();
  readonly #writing = new Set<Promise<void>>();
  #bytes = 0;
  #count = 0;

  constructor(id: string, host: OutboxHost, sender: RepeatingSender) {
    this.#id = id;
    this.#host = host;
    this.#sender = sender;
  }

  /**
   * Resolves when the store has the message.
   * @throws ConduitError UNSERIALIZABLE, SEND_QUEUE_FULL, STORE_FAILED, CONNECTION_CLOSED
   */
  async send(type: string, data: unknown, options: StoredSendOptions): Promise<void> {
    const { codec, maxBytes, wallClock } = this.#host;
    this.#mustBeOpen(type);
    const { once = crypto.randomUUID(), deliveries, meta } = options;
    const record = codec.encode({ once, type, data: data ?? null, deliveries, meta });
    if (this.#bytes + record.length > maxBytes) {
      const message = `Cannot send '${type}': ${this.#bytes} bytes of stored messages wait for this client, of at most ${maxBytes}`;
      throw new ConduitError(ErrorCode.SEND_QUEUE_FULL, message);
    }
    const time = String(wallClock()).padStart(TIME_DIGITS, "0");
    const number = String(this.#count++).padStart(NUMBER_DIGITS, "0");
    const key = `outbox/${this.#id}/${time}${number}-${crypto.randomUUID()}`;
    this.#waiting.set(key, { type, bytes: record.length });
    this.#bytes += record.length;
    const writing = this.#write(key, record);
    this.#writing.add(writing);
    try {
      await writing;
    } catch (cause) {
      this.#forget(key);
      if (isInstance(cause, ConduitError)) throw cause;
      const message = `Cannot send '${type}': the store failed: ${messageOf(cause)}`;
      throw new ConduitError(ErrorCode.STORE_FAILED, message, { cause });
    } finally {
      this.#writing.delete(writing);
    }
    if (!this.#waiting.has(key)) {
      // The session has ended for good meanwhile.
      this.#delete(key);
      throw closed(type);
    }
    void this.#deliver(key, type, data, { ...options, once, signal: undefined });
  }

  /** Sends what another server has left. Never rejects. */
  async redeliver(): Promise<void> {
    const { store, codec, storeFailed } = this.#host;
    try {
      for (const key of await store.keys(`outbox/${this.#id}/`, MAX_LISTED)) {
        if (this.#waiting.has(key)) continue;
        const bytes = await store.get(key);
        const record = bytes === null ? null : codec.decode(bytes);
        if (bytes === null || !isMap(record)) continue;
        const { once, type, data, deliveries, meta } = record;
        if (typeof once !== "string" || typeof type !== "string") continue;
        this.#waiting.set(key, { type, bytes: bytes.length });
        this.#bytes += bytes.length;
        const options = { once, deliveries: deliveries ?? undefined, meta: meta ?? undefined };
        void this.#deliver(key, type, data, options as StoredSendOptions);
      }
    } catch (error) {
      storeFailed(error);
    }
  }

  /** Resolves when no message is being written. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#writing);
  }

  /**
   * The connection has ended.
   * @param isKept whether its client may go on at another server
   */
  ended(isKept: boolean): void {
    if (isKept) return;
    const keys = [...this.#waiting.keys()];
    const [first] = this.#waiting.values();
    this.#waiting.clear();
    if (first === undefined) return;
    const message = `${keys.length} stored messages, of which the first is '${first.type}', were not delivered: the session has ended`;
    this.#host.undelivered(new ConduitError(ErrorCode.NOT_DELIVERED, message, { details: { count: keys.length } }));
    for (const key of keys) this.#delete(key);
  }

  async #write(key: string, record: Uint8Array): Promise<void> {
    await this.#host.recorded();
    await this.#host.store.put(key, record, KEPT_MS);
  }

  async #deliver(key: string, type: string, data: unknown, options: StoredSendOptions): Promise<void> {
    try {
      await sendAcknowledged(this.#sender, type, data, options);
    } catch (error) {
      // `ended` says whether another server sends it.
      if (this.#sender.isOver()) return;
      const message = `A stored message '${type}' was not delivered: ${messageOf(error)}`;
      this.#host.undelivered(new ConduitError(ErrorCode.NOT_DELIVERED, message, { cause: error }));
    }
    this.#forget(key);
    this.#delete(key);
  }

  #forget(key: string): void {
    this.#bytes -= this.#waiting.get(key)?.bytes ?? 0;
    this.#waiting.delete(key);
  }

  #delete(key: string): void {
    const { store, removing, storeFailed } = this.#host;
    removing(store.delete(key).catch(storeFailed));
  }

  #mustBeOpen(type: string): void {
    if (this.#sender.isOver()) throw closed(type);
  }
}

function closed(type: string): ConduitError {
  return new ConduitError(ErrorCode.CONNECTION_CLOSED, `Cannot send '${type}': the connection has ended`);
}
