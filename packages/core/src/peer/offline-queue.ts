import { ConduitError, ErrorCode } from "../errors.ts";
import { HIGH_WATER_RATIO } from "../limits.ts";
import { TimerEntry, type TimerWheel } from "../session/timer-wheel.ts";

/** Something to send once there is a connection again. */
export interface OfflineItem {
  /** Method or message type. */
  readonly name: string;
  /** Milliseconds until it is given up; 0: it waits as long as it takes. */
  readonly timeoutMs: number;
  /** Sends it; may throw. */
  send(link: unknown): void;
  reject(error: Error): void;
}

class Entry extends TimerEntry {
  readonly item: OfflineItem;
  readonly #queue: Set<Entry>;

  constructor(item: OfflineItem, queue: Set<Entry>) {
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

/** What a client was asked to send while it had no connection. Bounded; order is kept. */
export class OfflineQueue {
  readonly #wheel: TimerWheel;
  readonly #maxItems: number;
  readonly #entries = new Set<Entry>();

  constructor(wheel: TimerWheel, maxItems: number) {
    this.#wheel = wheel;
    this.#maxItems = maxItems;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** @returns whether there is room for more. @throws ConduitError SEND_QUEUE_FULL. */
  add(item: OfflineItem): boolean {
    if (this.#entries.size >= this.#maxItems) {
      const message = `Cannot send '${item.name}': ${this.#entries.size} items wait for a connection (sendQueueSize ${this.#maxItems})`;
      throw new ConduitError(ErrorCode.SEND_QUEUE_FULL, message);
    }
    const entry = new Entry(item, this.#entries);
    this.#entries.add(entry);
    if (item.timeoutMs > 0) this.#wheel.schedule(entry, item.timeoutMs);
    return this.#entries.size < this.#maxItems * HIGH_WATER_RATIO;
  }

  /** Takes one back; whether it was still there. */
  remove(item: OfflineItem): boolean {
    for (const entry of this.#entries) {
      if (entry.item !== item) continue;
      this.#wheel.cancel(entry);
      return this.#entries.delete(entry);
    }
    return false;
  }

  sendAll(link: unknown): void {
    this.#take((item) => {
      try {
        item.send(link);
      } catch (error) {
        item.reject(error as Error);
      }
    });
  }

  rejectAll(error: Error): void {
    this.#take((item) => item.reject(error));
  }

  #take(each: (item: OfflineItem) => void): void {
    const entries = [...this.#entries];
    this.#entries.clear();
    for (const entry of entries) {
      this.#wheel.cancel(entry);
      each(entry.item);
    }
  }
}
