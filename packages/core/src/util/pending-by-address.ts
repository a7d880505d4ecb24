/** Entries by network address, so that a flood from one address doesn't use up the others' places. */
export class PendingByAddress<Entry> {
  /**
   * Each address's entries, oldest first. Arrays instead of Sets, because with this turnover a Set's old tables and
   * their contents would stay until V8's next full collection.
   */
  readonly #byAddress = new Map<string, Entry[]>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** All entries, grouped by address, oldest first. */
  get entries(): Entry[] {
    return [...this.#byAddress.values()].flat();
  }

  /** Number of addresses with entries. */
  get addresses(): number {
    return this.#byAddress.size;
  }

  /** Adds an entry, which must be new. */
  add(entry: Entry, address: string): void {
    this.#size += 1;
    const entries = this.#byAddress.get(address);
    if (entries === undefined) this.#byAddress.set(address, [entry]);
    else entries.push(entry);
  }

  /** Removes an entry. Returns whether it existed. */
  delete(entry: Entry, address: string): boolean {
    const entries = this.#byAddress.get(address) ?? [];
    const at = entries.indexOf(entry);
    if (at < 0) return false;
    this.#size -= 1;
    entries.splice(at, 1);
    if (entries.length === 0) this.#byAddress.delete(address);
    return true;
  }

  /** Returns the oldest entry of the address that has most, without removing it; undefined if there are none. */
  oldestOfLargest(): Entry | undefined {
    let largest: Entry[] = [];
    for (const entries of this.#byAddress.values()) if (entries.length > largest.length) largest = entries;
    return largest[0];
  }
}
