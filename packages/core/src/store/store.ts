/**
 * Keeps a server's state beyond its process: which messages of each session it has handled, the keys of `ack` and
 * `once` with their answers, and dead letters.
 *
 * A store keeps bytes by key, for a time. Keys consist of `a-z`, `0-9`, `-` and `/`, and have at most 128 characters. Every
 * method may reject; the server then goes on without keeping the value, and says so (STORE_FAILED). When a method has
 * resolved, its change survives the end of the process, or a power cut, depending on the store's own settings.
 */
export interface Store {
  /**
   * Whether several servers use it at the same time. If not, deliveries that a server didn't finish count as interrupted
   * as soon as the next one starts; a second server of the process that starts with this object is refused, with
   * STORE_IN_USE. A store in a file, or behind a network, has to refuse a second process by itself.
   */
  readonly isShared: boolean;
  /** Resolves with null if nothing is kept by this key, or its time is over. */
  get(key: string): Promise<Uint8Array | null>;
  /**
   * Keeps a value, unless the key has one. Resolves with whether it did. If several create a key at the same time, one
   * succeeds.
   * @param ttlMs whole milliseconds until it may be forgotten, at least 1
   */
  create(key: string, value: Uint8Array, ttlMs: number): Promise<boolean>;
  /** Keeps a value, and replaces an earlier one. */
  put(key: string, value: Uint8Array, ttlMs: number): Promise<void>;
  /** Nothing happens if the key has no value. */
  delete(key: string): Promise<void>;
  /** The first keys with this prefix, in ascending order, at most `limit`. */
  keys(prefix: string, limit: number): Promise<string[]>;
}

const METHODS = ["get", "create", "put", "delete", "keys"] as const;

/** Whether a value has the methods of a store. */
export function isStore(value: unknown): value is Store {
  if (typeof value !== "object" || value === null) return false;
  const candidate = value as Partial<Record<keyof Store, unknown>>;
  return typeof candidate.isShared === "boolean" && METHODS.every((name) => typeof candidate[name] === "function");
}
