import type { ClusterRecords } from "../driver.ts";
import { unavailable } from "./unavailable.ts";

interface StoredRecord {
  readonly value: Uint8Array;
  readonly revision: number;
  /** Monotonic milliseconds. */
  readonly untilMs: number;
}

/** The records of a `MemoryCluster`. */
export class MemoryRecords {
  readonly #sets = new Map<string, Map<string, StoredRecord>>();
  #revision = 0;

  /** The view of one link. */
  of(user: { isConnected(): boolean; now(): number }): ClusterRecords {
    return {
      open: async (name, ttlMs) => {
        const mustBeConnected = (): void => {
          if (!user.isConnected()) throw unavailable(`Cannot use the records '${name}'`);
        };
        mustBeConnected();
        const set = this.#sets.get(name) ?? new Map<string, StoredRecord>();
        this.#sets.set(name, set);
        const find = (key: string): StoredRecord | null => {
          mustBeConnected();
          const record = set.get(key);
          if (record !== undefined && record.untilMs > user.now()) return record;
          set.delete(key);
          return null;
        };
        return {
          get: async (key) => {
            const record = find(key);
            return record === null ? null : { value: record.value.slice(), revision: record.revision };
          },
          put: async (key, value, revision) => {
            const known = find(key)?.revision ?? 0;
            if (revision !== null && revision !== known) return null;
            this.#revision += 1;
            set.set(key, { value: value.slice(), revision: this.#revision, untilMs: user.now() + ttlMs });
            return this.#revision;
          },
          delete: async (key) => {
            mustBeConnected();
            set.delete(key);
          },
          keys: async (prefix, limit) => {
            const all = [...set.keys()].filter((key) => key.startsWith(prefix) && find(key) !== null);
            return all.sort().slice(0, limit);
          },
        };
      },
    };
  }

  wipe(): void {
    for (const set of this.#sets.values()) set.clear();
  }
}
