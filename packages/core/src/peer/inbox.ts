/** Requests and messages that arrived and whose handlers have not started. */

/** One decoded request or message. */
export interface InboxItem {
  readonly isCall: boolean;
  readonly name: string;
  readonly value: unknown;
  readonly hi: number;
  readonly lo: number;
  readonly timeoutMs: number;
  /** Wall clock, Unix milliseconds; 0 for an item without a timeout. */
  readonly receivedAt: number;
  /** Payload bytes on the wire, for the byte bound. */
  readonly bytes: number;
}

/** First in, first out. */
export class Inbox {
  #items: (InboxItem | null)[] = [];
  #head = 0;
  /** Payload bytes waiting. */
  bytes = 0;

  get length(): number {
    return this.#items.length - this.#head;
  }

  push(item: InboxItem): void {
    this.#items.push(item);
    this.bytes += item.bytes;
  }

  shift(): InboxItem | null {
    while (this.#head < this.#items.length) {
      const item = this.#items[this.#head] as InboxItem | null;
      this.#items[this.#head] = null;
      this.#head += 1;
      if (this.#head === this.#items.length) {
        this.#items = [];
        this.#head = 0;
      } else if (this.#head >= 1024) {
        this.#items = this.#items.slice(this.#head);
        this.#head = 0;
      }
      if (item !== null) {
        this.bytes -= item.bytes;
        return item;
      }
    }
    return null;
  }

  /** Forgets the call or request with this correlation id, if it waits here. */
  cancel(hi: number, lo: number): boolean {
    for (let index = this.#head; index < this.#items.length; index += 1) {
      const item = this.#items[index];
      if (item !== null && item !== undefined && item.hi === hi && item.lo === lo) {
        this.#items.splice(index, 1);
        this.bytes -= item.bytes;
        return true;
      }
    }
    return false;
  }

  clear(): void {
    this.#items = [];
    this.#head = 0;
    this.bytes = 0;
  }
}
