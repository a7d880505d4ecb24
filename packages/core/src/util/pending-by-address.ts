/** Entries by network address, so that a flood from one address takes no room from the others. */
export class PendingByAddress<Entry> {
  /** The entries of each address, oldest first. */
  readonly #byAddress = new Map<string, Set<Entry>>();
  readonly #addresses = new Map<Entry, string>();

  get size(): number {
    return this.#addresses.size;
  }

  /** All entries, oldest first. */
  get entries(): Entry[] {
    return [...this.#addresses.keys()];
  }

  /** Number of addresses with entries. */
  get addresses(): number {
    return this.#byAddress.size;
  }

  /** Adds an entry that isn't in it yet. */
  add(entry: Entry, address: string): void {
    this.#addresses.set(entry, address);
    const entries = this.#byAddress.get(address);
    if (entries === undefined) this.#byAddress.set(address, new Set([entry]));
    else entries.add(entry);
  }

  /** Returns whether the entry was in it. */
  delete(entry: Entry): boolean {
    const address = this.#addresses.get(entry);
    if (address === undefined) return false;
    this.#addresses.delete(entry);
    const entries = this.#byAddress.get(address);
    entries?.delete(entry);
    if (entries?.size === 0) this.#byAddress.delete(address);
    return true;
  }

  /** The oldest entry of the address that has most; undefined if it is empty. It stays in. */
  oldestOfLargest(): Entry | undefined {
    let largest: Set<Entry> | undefined;
    for (const entries of this.#byAddress.values()) {
      if (entries.size > (largest?.size ?? 0)) largest = entries;
    }
    const [oldest] = largest ?? [];
    return oldest;
  }
}
