/** Entries by network address, so that a flood from one address takes no room from the others. */
export class PendingByAddress<Entry> {
  /**
   * The entries of each address, oldest first. They come and go fast: a Set's former tables, and what was in them, would
   * stay until V8's next full collection.
   */
  readonly #byAddress = new Map<string, Entry[]>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** All entries; those of one address are together, oldest first. */
  get entries(): Entry[] {
    return [...this.#byAddress.values()].flat();
  }

  /** Number of addresses with entries. */
  get addresses(): number {
    return this.#byAddress.size;
  }

  /** Adds an entry that isn't in it yet. */
  add(entry: Entry, address: string): void {
    this.#size += 1;
    const entries = this.#byAddress.get(address);
    if (entries === undefined) this.#byAddress.set(address, [entry]);
    else entries.push(entry);
  }

  /** Returns whether the entry was in it. */
  delete(entry: Entry, address: string): boolean {
    const entries = this.#byAddress.get(address) ?? [];
    const at = entries.indexOf(entry);
    if (at < 0) return false;
    this.#size -= 1;
    entries.splice(at, 1);
    if (entries.length === 0) this.#byAddress.delete(address);
    return true;
  }

  /** The oldest entry of the address that has most; undefined if it is empty. It stays in. */
  oldestOfLargest(): Entry | undefined {
    let largest: Entry[] = [];
    for (const entries of this.#byAddress.values()) if (entries.length > largest.length) largest = entries;
    return largest[0];
  }
}
