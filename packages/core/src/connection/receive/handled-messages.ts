/**
 * Tracks which of the peer's messages and calls without a reply have been handled. They are numbered from 0 in the
 * order of sending, in which they arrive. Their handlers start in this order and finish in any order.
 */
export class HandledMessages {
  /** Whether a store outlives this server, so that the next server handles messages interrupted here. */
  isStored = false;
  #isOver = false;
  /** Called when more messages have been handled. */
  readonly #changed: () => void;
  #arrived = 0;
  /** Numbers of messages whose handlers haven't started, in order, without rejected ones. */
  readonly #waiting: number[] = [];
  readonly #running = new Map<object, number>();
  /** All messages below this number have been handled. */
  #handled = 0;
  /** Handled messages above that number: ranges in order, each with its first number and the one after its last. */
  readonly #ranges: [number, number][] = [];

  constructor(changed: () => void) {
    this.#changed = changed;
  }

  /** All messages below this number have been handled, or refused and answered. */
  get handled(): number {
    return this.#handled;
  }

  /** Handled messages above `handled`: for each range its first number, and the one after its last. */
  get handledAbove(): readonly number[] {
    return this.#ranges.flat();
  }

  /** Number of messages with running handlers. */
  get unfinished(): number {
    return this.#running.size;
  }

  arrived(): void {
    this.#waiting.push(this.#arrived);
    this.#arrived += 1;
  }

  /** The last message was rejected on arrival. */
  lastRefused(): void {
    this.#end(this.#waiting.pop());
  }

  /** The next message was rejected instead of being started. */
  nextRefused(): void {
    this.#end(this.#waiting.shift());
  }

  /** The next message's handlers are starting. */
  started(request: object): void {
    const number = this.#waiting.shift();
    if (number !== undefined) this.#running.set(request, number);
  }

  /** The connection has ended and interrupts running handlers, whose messages don't count as handled. */
  over(): void {
    this.#isOver = true;
  }

  /** A message's handlers have finished. Does nothing if it has no number. */
  settled(request: object): void {
    if (this.#isOver) return;
    const number = this.#running.get(request);
    this.#running.delete(request);
    this.#end(number);
  }

  /** Removes waiting messages, which won't be started. */
  dropped(): void {
    this.#waiting.length = 0;
  }

  #end(number: number | undefined): void {
    if (number === undefined) return;
    if (number === this.#handled) this.#handled += 1;
    else this.#addToRanges(number);
    const [first] = this.#ranges;
    if (first?.[0] === this.#handled) {
      this.#handled = first[1];
      this.#ranges.shift();
    }
    this.#changed();
  }

  /** Adds a number. There are at most as many ranges as running handlers, so a search from the end is short. */
  #addToRanges(number: number): void {
    let index = this.#ranges.length;
    while (index > 0 && (this.#ranges[index - 1] as [number, number])[0] > number) index -= 1;
    const before = this.#ranges[index - 1];
    const after = this.#ranges[index];
    const isBehind = before?.[1] === number;
    const isBefore = after?.[0] === number + 1;
    if (before !== undefined && isBehind) {
      before[1] = isBefore && after !== undefined ? after[1] : number + 1;
      if (isBefore) this.#ranges.splice(index, 1);
    } else if (after !== undefined && isBefore) {
      after[0] = number;
    } else {
      this.#ranges.splice(index, 0, [number, number + 1]);
    }
  }
}
