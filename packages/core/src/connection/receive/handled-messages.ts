/**
 * Which of the peer's messages, and calls without a reply, have been handled: they are numbered from 0, in the order in which
 * they were sent and arrive. Their handlers start in this order and end in any.
 */
export class HandledMessages {
  /** Called when more have been handled. */
  readonly #changed: () => void;
  #arrived = 0;
  /** Those that haven't started, in order. */
  readonly #waiting: number[] = [];
  readonly #running = new Map<object, number>();
  /** All below it have been handled. */
  #handled = 0;
  readonly #handledAbove = new Set<number>();

  constructor(changed: () => void) {
    this.#changed = changed;
  }

  /** All messages below it have been handled, or refused and answered. */
  get handled(): number {
    return this.#handled;
  }

  /** Those above it that have been handled. */
  get handledAbove(): readonly number[] {
    return [...this.#handledAbove];
  }

  /** Those that have started, and not ended. */
  get unfinished(): number {
    return this.#running.size;
  }

  arrived(): void {
    this.#waiting.push(this.#arrived);
    this.#arrived += 1;
  }

  /** The one that arrived last was refused at once. */
  lastRefused(): void {
    this.#end(this.#waiting.pop());
  }

  /** The next one was refused instead of being started. */
  nextRefused(): void {
    this.#end(this.#waiting.shift());
  }

  /** The next one starts. */
  started(request: object): void {
    const number = this.#waiting.shift();
    if (number !== undefined) this.#running.set(request, number);
  }

  /** Its handlers have ended; nothing happens if it has no number. */
  settled(request: object): void {
    const number = this.#running.get(request);
    if (!this.#running.delete(request)) return;
    this.#end(number);
  }

  /** Those that wait won't be started. */
  dropped(): void {
    this.#waiting.length = 0;
  }

  #end(number: number | undefined): void {
    if (number === undefined) return;
    this.#handledAbove.add(number);
    while (this.#handledAbove.delete(this.#handled)) this.#handled += 1;
    this.#changed();
  }
}
