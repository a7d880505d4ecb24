/** A queue; what is taken from its front is let go of at intervals, so that taking costs no move of the rest. */
export class Fifo<T> {
  private items: T[] = [];
  private front = 0;

  push(item: T): void {
    this.items.push(item);
  }

  /** The oldest item, which is removed; undefined when there is none. */
  shift(): T | undefined {
    if (this.front === this.items.length) return undefined;
    const item = this.items[this.front++];
    if (this.front === this.items.length) {
      this.items = [];
      this.front = 0;
    }
    return item;
  }
}
