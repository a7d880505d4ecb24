import { ConduitError, ErrorCode } from "../errors.ts";
import { HIGH_WATER_RATIO } from "../limits.ts";
import { TimerEntry, type TimerWheel } from "../util/timer-wheel.ts";

/** A message or call to send once the client is connected again. */
export interface OfflineItem<Connection> {
  /** Method or message type. */
  readonly name: string;
  /** Milliseconds until it times out; 0 waits without limit. */
  readonly timeoutMs: number;
  /** Sends the item. May throw. */
  send(connection: Connection): void;
  reject(error: Error): void;
}

class Entry<Connection> extends TimerEntry {
  readonly item: OfflineItem<Connection>;
  readonly #queue: Set<Entry<Connection>>;

  constructor(item: OfflineItem<Connection>, queue: Set<Entry<Connection>>) {
    super();
    this.item = item;
    this.#queue = queue;
  }

  override onTimer(): void {
    this.#queue.delete(this);
    const { name, timeoutMs, reject } = this.item;
    reject(new ConduitError(ErrorCode.TIMEOUT, `'${name}' timed out after ${timeoutMs} ms without a connection`));
  }
}

/** A bounded FIFO of messages and calls made while the client is disconnected. */
export class OfflineQueue<Connection> {
  readonly #wheel: TimerWheel;
  readonly #maxItems: number;
  /** Created on first use: most clients never need it. */
  #entries: Set<Entry<Connection>> | null = null;

  constructor(wheel: TimerWheel, maxItems: number) {
    this.#wheel = wheel;
    this.#maxItems = maxItems;
  }

  get size(): number {
    return this.#entries?.size ?? 0;
  }

  /**
   * Adds an item. Returns false when the queue is filling up.
   *
   * @throws ConduitError SEND_QUEUE_FULL
   */
  add(item: OfflineItem<Connection>): boolean {
    this.#entries ??= new Set();
    const entries = this.#entries;
    if (entries.size >= this.#maxItems) {
      const message = `Cannot send '${item.name}': ${entries.size} items are waiting for a connection (sendQueueSize ${this.#maxItems})`;
      throw new ConduitError(ErrorCode.SEND_QUEUE_FULL, message);
    }
    const entry = new Entry(item, entries);
    entries.add(entry);
    if (item.timeoutMs > 0) this.#wheel.schedule(entry, item.timeoutMs);
    return entries.size < this.#maxItems * HIGH_WATER_RATIO;
  }

  /** Removes an item. Returns whether it was still queued. */
  remove(item: OfflineItem<Connection>): boolean {
    for (const entry of this.#entries ?? []) {
      if (entry.item !== item) continue;
      this.#wheel.cancel(entry);
      return this.#entries?.delete(entry) === true;
    }
    return false;
  }

  sendAll(connection: Connection): void {
    this.#take((item) => {
      try {
        item.send(connection);
      } catch (error) {
        item.reject(error as Error);
      }
    });
  }

  rejectAll(error: Error): void {
    this.#take((item) => item.reject(error));
  }

  #take(each: (item: OfflineItem<Connection>) => void): void {
    if (this.#entries === null) return;
    const entries = [...this.#entries];
    this.#entries.clear();
    for (const entry of entries) {
      this.#wheel.cancel(entry);
      each(entry.item);
    }
  }
}
