/** As many entries are deleted before the Map is copied; more if it holds more. */
const MIN_DELETED = 1000;

/**
 * A Map of entries that come and go fast. V8 makes a new table whenever a Map's has filled up, and each former table refers
 * to the next and keeps what was in it. Once one of them is old, all that follow survive until a full collection, with
 * everything in them. So the Map is copied after many deletions, which ends that chain, and dropped when it is empty.
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
