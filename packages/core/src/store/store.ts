/**
 * Keeps a server's state beyond its process: which messages of each session it has handled, the keys of `ack` and
 * `once` with their answers, and dead letters.
 *
 * A store keeps bytes by key, for a time. Keys consist of `a-z`, `0-9`, `-` and `/`, and have at most 128 characters.
 * Any method may reject; the server then continues without storing the value, and reports STORE_FAILED. Once a method
 * has resolved, its change survives the end of the process, or a power failure, depending on the store's own
 * settings.
 */
export interface Store {
  /**
   * Whether several servers use the store at the same time. If not, a server's unfinished deliveries count as
   * interrupted as soon as the next server starts, and a second server of the process that starts with this object is
   * rejected with STORE_IN_USE. A store in a file or on the network has to reject a second process itself.
   */
  readonly isShared: boolean;
  /** Resolves with null if the key has no value, or its value has expired. */
  get(key: string): Promise<Uint8Array | null>;
  /**
   * Stores a value, unless the key has one. Resolves with whether it was stored. If a key is created several times at
   * once, exactly one call succeeds.
   * @param ttlMs whole milliseconds until the value may be removed, at least 1
   */
  create(key: string, value: Uint8Array, ttlMs: number): Promise<boolean>;
  /** Stores a value, replacing an earlier one. */
  put(key: string, value: Uint8Array, ttlMs: number): Promise<void>;
  /** Does nothing if the key has no value. */
  delete(key: string): Promise<void>;
  /** The first `limit` keys with this prefix, in ascending order. */
  keys(prefix: string, limit: number): Promise<string[]>;
}

const METHODS = ["get", "create", "put", "delete", "keys"] as const;

/** Whether a value has the methods of a store. */
export function isStore(value: unknown): value is Store {
  if (typeof value !== "object" || value === null) return false;
  const candidate = value as Partial<Record<keyof Store, unknown>>;
  return typeof candidate.isShared === "boolean" && METHODS.every((name) => typeof candidate[name] === "function");
}
