/**
 * What a server remembers beyond its process: which messages of each session it has handled, the keys of `ack` and `once`
 * with their answers, and dead letters.
 *
 * A store keeps bytes by key, for a time. Keys consist of `a-z`, `0-9`, `-` and `/`, and have at most 128 characters. Every
 * method may reject; the server then goes on without what it wanted to keep, and says so (STORE_FAILED). Whatever a method
 * promised is there when its promise has resolved, as far as the store's own settings say: after the end of the process, or
 * after a power cut.
 */
export interface Store {
  /**
   * Whether several processes use it at the same time. If not, what a process began and didn't finish is known to be
   * interrupted as soon as the next one starts.
   */
  readonly isShared: boolean;
  /** Resolves with null if nothing is kept by this key, or its time is over. */
  get(key: string): Promise<Uint8Array | null>;
  /**
   * Keeps a value, unless the key has one. Resolves with whether it did. Of several that create a key at the same time, one
   * does.
   * @param ttlMs whole milliseconds until it may be forgotten, at least 1
   */
  create(key: string, value: Uint8Array, ttlMs: number): Promise<boolean>;
  /** Keeps a value, in place of that which the key has. */
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
