/** A queue whose `shift` takes constant time: it advances an index instead of moving the rest. */
export class Fifo<T> {
  private items: T[] = [];
  private front = 0;

  push(item: T): void {
    this.items.push(item);
  }

  /** Removes and returns the oldest item, or undefined when empty. */
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
