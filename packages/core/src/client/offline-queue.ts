import { type Called, ConduitError, cannot, ErrorCode, quoted } from "../errors.ts";
import { HIGH_WATER_RATIO, LOW_WATER_RATIO } from "../limits.ts";
import { TimerEntry, type TimerWheel } from "../util/timer-wheel.ts";

/** A message or call to send once the client is connected again. */
export interface OfflineItem<Connection> {
  readonly called: Called;
  /** Milliseconds until it times out; 0 waits without limit. */
  readonly timeoutMs: number;
  /** Size of its encoded data or params. */
  readonly bytes: number;
  /** A message with `ack`; undefined for anything else. */
  readonly attempt?: QueuedAttempt | undefined;
  /** Sends the item. May throw. */
  send(connection: Connection): void;
  reject(error: Error): void;
}

/** An attempt to send a message with `ack`. */
export interface QueuedAttempt {
  /** Its place in the order of sending, from `takePlace`. */
  readonly place: number;
  /** Whether it was sent before, in which case its memory is already counted and it isn't rejected. */
  readonly isAgain: boolean;
  /** Whether it may be sent now; otherwise it stays queued. */
  canLeave(): boolean;
}

class Entry<Connection> extends TimerEntry {
  readonly item: OfflineItem<Connection>;
  readonly place: number;
  readonly #queue: OfflineQueue<Connection>;

  constructor(item: OfflineItem<Connection>, place: number, queue: OfflineQueue<Connection>) {
    super();
    this.item = item;
    this.place = place;
    this.#queue = queue;
  }

  override onTimer(): void {
    this.#queue.remove(this.item);
    const { called, timeoutMs, reject } = this.item;
    const message = `${quoted(called)} timed out after ${timeoutMs} ms without a connection`;
    reject(new ConduitError(ErrorCode.TIMEOUT, message, { details: { started: false } }));
  }
}

/** Limits of an {@link OfflineQueue}, which are those of the send queue. */
interface OfflineLimits {
  readonly sendQueueSize: number;
  readonly sendQueueBytes: number;
}

/**
 * Messages and calls made while the client is disconnected, and unanswered messages with `ack`. They are sent in the
 * order of their places.
 */
export class OfflineQueue<Connection> {
  readonly #wheel: TimerWheel;
  readonly #limits: OfflineLimits;
  /** Created on first use, because most clients never need it. */
  #entries: Map<OfflineItem<Connection>, Entry<Connection>> | null = null;
  #bytes = 0;
  #places = 0;
  /** Callers waiting for room. */
  #roomWaits: { resolve(): void; reject(error: Error): void }[] = [];

  constructor(wheel: TimerWheel, limits: OfflineLimits) {
    this.#wheel = wheel;
    this.#limits = limits;
  }

  get size(): number {
    return this.#entries?.size ?? 0;
  }

  /** The next place in the order of sending. */
  takePlace(): number {
    return this.#places++;
  }

  /**
   * Adds an item. Returns false when the queue is filling up.
   *
   * @throws ConduitError SEND_QUEUE_FULL
   */
  add(item: OfflineItem<Connection>): boolean {
    const { attempt } = item;
    if (this.#fill >= 1 && attempt?.isAgain !== true) {
      const { sendQueueSize, sendQueueBytes } = this.#limits;
      const message =
        `${cannot("send", item.called)}: ${this.size} items, ${this.#bytes} bytes are waiting for a connection ` +
        `(sendQueueSize ${sendQueueSize}, sendQueueBytes ${sendQueueBytes})`;
      throw new ConduitError(ErrorCode.SEND_QUEUE_FULL, message, { details: { started: false } });
    }
    const entry = new Entry(item, attempt?.place ?? this.takePlace(), this);
    this.#entries ??= new Map();
    this.#entries.set(item, entry);
    this.#bytes += item.bytes;
    if (item.timeoutMs > 0) this.#wheel.schedule(entry, item.timeoutMs);
    return this.#hasRoom;
  }

  /** Resolves immediately unless the queue is filling up, otherwise when half of it is free. Rejects if the queue is cleared first. */
  waitForRoom(): Promise<void> {
    if (this.#hasRoom) return Promise.resolve();
    return new Promise((resolve, reject) => this.#roomWaits.push({ resolve, reject }));
  }

  get #hasRoom(): boolean {
    return this.#fill < HIGH_WATER_RATIO;
  }

  #endRoomWaits(error: Error | null): void {
    if (this.#fill > LOW_WATER_RATIO) return;
    const waits = this.#roomWaits;
    this.#roomWaits = [];
    for (const { resolve, reject } of waits) {
      if (error === null) resolve();
      else reject(error);
    }
  }

  /** Removes an item. Returns whether it was still queued. */
  remove(item: OfflineItem<Connection>): boolean {
    const entry = this.#entries?.get(item);
    if (entry === undefined) return false;
    this.#wheel.cancel(entry);
    this.#entries?.delete(item);
    this.#bytes -= item.bytes;
    this.#endRoomWaits(null);
    return true;
  }

  sendAll(connection: Connection): void {
    const send = (item: OfflineItem<Connection>): void => {
      try {
        item.send(connection);
      } catch (error) {
        item.reject(error as Error);
      }
    };
    this.#take(send, ({ attempt }) => attempt === undefined || attempt.canLeave());
    this.#endRoomWaits(null);
  }

  rejectAll(error: Error): void {
    this.#take((item) => item.reject(error));
    this.#endRoomWaits(error);
  }

  /** Rejects all but messages with `ack`. */
  rejectOthers(error: Error): void {
    this.#take(
      (item) => item.reject(error),
      ({ attempt }) => attempt === undefined,
    );
    this.#endRoomWaits(error);
  }

  #take(
    each: (item: OfflineItem<Connection>) => void,
    which = (_item: OfflineItem<Connection>): boolean => true,
  ): void {
    if (this.#entries === null) return;
    const entries = [...this.#entries.values()].filter(({ item }) => which(item)).sort((a, b) => a.place - b.place);
    for (const { item } of entries) {
      this.#entries.delete(item);
      this.#bytes -= item.bytes;
    }
    for (const entry of entries) {
      this.#wheel.cancel(entry);
      each(entry.item);
    }
  }

  get #fill(): number {
    const { sendQueueSize, sendQueueBytes } = this.#limits;
    return Math.max(this.size / sendQueueSize, this.#bytes / sendQueueBytes);
  }
}
