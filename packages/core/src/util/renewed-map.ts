/** Minimum number of deletions before the Map is copied; a larger Map is copied after as many as it has entries. */
const MIN_DELETED = 1000;

/**
 * A Map whose entries are added and deleted fast. V8 allocates a new table whenever a Map's table is full. Each former
 * table refers to the next one and keeps its entries, so once one of them is in the old generation, all later ones and
 * their entries survive until a full collection. So the Map is copied after many deletions, which ends that chain, and dropped when it is empty.
 */
export class RenewedMap<Key, Value> {
  #map: Map<Key, Value> | null = null;
  #deleted = 0;

  get size(): number {
    return this.#map?.size ?? 0;
  }

  get(key: Key): Value | undefined {
    return this.#map?.get(key);
  }

  set(key: Key, value: Value): void {
    this.#map ??= new Map();
    this.#map.set(key, value);
  }

  delete(key: Key): void {
    const map = this.#map;
    if (map?.delete(key) !== true) return;
    this.#deleted += 1;
    if (map.size > 0 && this.#deleted < Math.max(MIN_DELETED, map.size)) return;
    this.#map = map.size === 0 ? null : new Map(map);
    this.#deleted = 0;
  }

  clear(): void {
    this.#map = null;
    this.#deleted = 0;
  }
}
