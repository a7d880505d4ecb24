import { KnownOptions } from "../util/known-options.ts";
import type { Store } from "./store.ts";

interface Entry {
  readonly value: Uint8Array;
  /** Unix milliseconds. */
  readonly untilMs: number;
}

/** Options of {@link memoryStore}. */
export interface MemoryStoreOptions {
  /** Unix milliseconds. Default: `Date.now`. */
  readonly now?: (() => number) | undefined;
}

const KNOWN = new KnownOptions<MemoryStoreOptions>("memoryStore", { now: true });

/**
 * Creates a store in this process's memory, for tests, and for consecutive servers in one process. Expired values are
 * removed once as many new values have been stored.
 */
export function memoryStore(options: MemoryStoreOptions = {}): Store {
  KNOWN.check(options);
  const { now = () => Date.now() } = options;
  return new MemoryStore(now);
}

class MemoryStore implements Store {
  readonly isShared: boolean = false;
  readonly #now: () => number;
  readonly #entries = new Map<string, Entry>();
  /** Number of values to store before the next sweep. */
  #untilSweep = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  async get(key: string): Promise<Uint8Array | null> {
    return this.#find(key)?.value.slice() ?? null;
  }

  async create(key: string, value: Uint8Array, ttlMs: number): Promise<boolean> {
    if (this.#find(key) !== null) return false;
    this.#set(key, value, ttlMs);
    return true;
  }

  async put(key: string, value: Uint8Array, ttlMs: number): Promise<void> {
    this.#set(key, value, ttlMs);
  }

  async delete(key: string): Promise<void> {
    this.#entries.delete(key);
  }

  async keys(prefix: string, limit: number): Promise<string[]> {
    const all = [...this.#entries.keys()].filter((key) => key.startsWith(prefix) && this.#find(key) !== null);
    return all.sort().slice(0, limit);
  }

  #find(key: string): Entry | null {
    const entry = this.#entries.get(key);
    return entry === undefined || entry.untilMs <= this.#now() ? null : entry;
  }

  #set(key: string, value: Uint8Array, ttlMs: number): void {
    const nowMs = this.#now();
    this.#untilSweep -= 1;
    if (this.#untilSweep < 0) this.#sweep(nowMs);
    this.#entries.set(key, { value: value.slice(), untilMs: nowMs + ttlMs });
  }
  /** Not run for each value, because it visits all of them. */
  #sweep(nowMs: number): void {
    for (const [old, { untilMs }] of this.#entries) if (untilMs <= nowMs) this.#entries.delete(old);
    this.#untilSweep = this.#entries.size;
  }
}
