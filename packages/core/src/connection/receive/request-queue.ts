/** Requests and messages that arrived and whose handlers have not started. */

/** One decoded request or message. */
export interface QueuedRequest {
  readonly isCall: boolean;
  readonly name: string;
  readonly value: unknown;
  readonly hi: number;
  readonly lo: number;
  readonly timeoutMs: number;
  /** Wall clock, Unix milliseconds; 0 for an item without a timeout. */
  readonly receivedAt: number;
  /** What it takes, for the byte bound. */
  readonly bytes: number;
}

/** First in, first out. */
export class RequestQueue {
  #items: (QueuedRequest | null)[] = [];
  #head = 0;
  #length = 0;
  /** Where each id stands, counted from the first item ever; made when something is cancelled. */
  #places: Map<string, number> | null = null;
  /** Items removed from the front of the array so far. */
  #dropped = 0;
  /** Bytes waiting. */
  bytes = 0;

  get length(): number {
    return this.#length;
  }

  push(item: QueuedRequest): void {
    this.#places?.set(idOf(item.hi, item.lo), this.#dropped + this.#items.length);
    this.#items.push(item);
    this.#length += 1;
    this.bytes += item.bytes;
  }

  shift(): QueuedRequest | null {
    while (this.#head < this.#items.length) {
      const item = this.#items[this.#head] as QueuedRequest | null;
      this.#items[this.#head] = null;
      this.#head += 1;
      if (this.#head === this.#items.length) this.#drop(this.#items.length);
      else if (this.#head >= 1024) this.#drop(this.#head);
      if (item !== null) {
        this.#places?.delete(idOf(item.hi, item.lo));
        this.#forget(item);
        return item;
      }
    }
    return null;
  }

  /** Forgets the call or request with this correlation id, if it waits here. Its cost does not grow with the queue. */
  cancel(hi: number, lo: number): boolean {
    if (this.#length === 0) return false;
    this.#places ??= this.#index();
    const place = this.#places.get(idOf(hi, lo));
    if (place === undefined) return false;
    this.#places.delete(idOf(hi, lo));
    const item = this.#items[place - this.#dropped];
    if (item === null || item === undefined) return false;
    this.#items[place - this.#dropped] = null;
    this.#forget(item);
    return true;
  }

  clear(): void {
    this.#drop(this.#items.length);
    this.#places = null;
    this.#length = 0;
    this.bytes = 0;
  }

  #forget(item: QueuedRequest): void {
    this.#length -= 1;
    this.bytes -= item.bytes;
  }

  #drop(count: number): void {
    this.#items = count === this.#items.length ? [] : this.#items.slice(count);
    this.#dropped += count;
    this.#head = 0;
  }

  #index(): Map<string, number> {
    const places = new Map<string, number>();
    for (let index = this.#head; index < this.#items.length; index += 1) {
      const item = this.#items[index];
      if (item !== null && item !== undefined) places.set(idOf(item.hi, item.lo), this.#dropped + index);
    }
    return places;
  }
}

/** Both halves of a correlation id; one number could not hold all 64 bits. */
function idOf(hi: number, lo: number): string {
  return `${hi}/${lo}`;
}
