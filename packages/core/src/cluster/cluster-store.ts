/**
 * A store shared by all nodes, kept in the engine's records. The keys and answers of `ack` and `once`, and dead
 * letters, are valid on whichever node a client reconnects to.
 */

import { ConduitError, ErrorCode } from "../errors.ts";
import type { Store } from "../store/store.ts";
import type { ClusterRecordSet, ClusterRecords } from "./driver.ts";

/** A set of records has a fixed TTL, so one set holds short-lived values and the other long-lived ones. */
const SETS = [
  { name: "short", ttlMs: 3_600_000 },
  { name: "long", ttlMs: 31 * 86_400_000 },
] as const;
/** Indices into SETS. */
const [SHORT, LONG] = [0, 1] as const;
/** Length of the expiry time (Unix milliseconds) that precedes each value. */
const EXPIRY_BYTES = 8;

/**
 * Creates a store for `resume: { store: clusterStore() }` of a server with the option `cluster`. Each server needs
 * its own, and the engine must have records. While the link is down, the store's methods reject with
 * CLUSTER_UNAVAILABLE. To replace a value whose TTL exceeds an hour by one with a shorter TTL, `delete` it first;
 * otherwise the old value reappears when the new one expires.
 */
export function clusterStore(): Store {
  return new ClusterStore();
}

/** The server of a cluster's store. */
export interface ClusterStoreHost {
  /** @throws ConduitError CLUSTER_UNAVAILABLE */
  records(): ClusterRecords;
  /** Unix milliseconds. */
  wallClock(): number;
}

interface Found {
  readonly value: Uint8Array;
  readonly revision: number;
  readonly isExpired: boolean;
}

export class ClusterStore implements Store {
  readonly isShared: boolean = true;
  #host: ClusterStoreHost | null = null;
  /** The records that the sets were opened from; they change at each start. */
  #openedWith: ClusterRecords | null = null;
  #sets: Promise<ClusterRecordSet>[] = [];

  /** @throws ConduitError INVALID_CONFIG if the store belongs to another server */
  bind(host: ClusterStoreHost): void {
    if (this.#host !== null) {
      throw new ConduitError(ErrorCode.INVALID_CONFIG, "A clusterStore() belongs to one server: make one for each");
    }
    this.#host = host;
  }

  async get(key: string): Promise<Uint8Array | null> {
    for (const index of SETS.keys()) {
      const found = await this.#find(await this.#set(index), key);
      if (found !== null && !found.isExpired) return found.value;
    }
    return null;
  }

  async create(key: string, value: Uint8Array, ttlMs: number): Promise<boolean> {
    const index = indexFor(ttlMs);
    const [set, other] = await Promise.all([this.#set(index), this.#set(otherThan(index))]);
    // In parallel, because the key is only in the other set if a node has other settings.
    const [isCreated, elsewhere] = await Promise.all([this.#createIn(set, key, value, ttlMs), this.#find(other, key)]);
    if (!isCreated || elsewhere === null || elsewhere.isExpired) return isCreated;
    await set.delete(recordKey(key));
    return false;
  }

  async #createIn(set: ClusterRecordSet, key: string, value: Uint8Array, ttlMs: number): Promise<boolean> {
    const record = this.#recordOf(value, ttlMs);
    if ((await set.put(recordKey(key), record, 0)) !== null) return true;
    const found = await this.#find(set, key);
    if (found !== null && !found.isExpired) return false;
    return (await set.put(recordKey(key), record, found?.revision ?? 0)) !== null;
  }

  async put(key: string, value: Uint8Array, ttlMs: number): Promise<void> {
    const index = indexFor(ttlMs);
    const set = await this.#set(index);
    await set.put(recordKey(key), this.#recordOf(value, ttlMs), null);
    // A value in the long set stays, and reappears later. Deleting it would cost a request for each write.
    if (index === SHORT) return;
    // `get` would find an older value there first.
    const short = await this.#set(SHORT);
    if ((await short.get(recordKey(key))) !== null) await short.delete(recordKey(key));
  }

  async delete(key: string): Promise<void> {
    for (const index of SETS.keys()) await (await this.#set(index)).delete(recordKey(key));
  }

  async keys(prefix: string, limit: number): Promise<string[]> {
    const all = new Set<string>();
    for (const index of SETS.keys()) {
      for (const key of await (await this.#set(index)).keys(recordKey(prefix), limit))
        all.add(key.replaceAll(".", "/"));
    }
    return [...all].sort().slice(0, limit);
  }

  async #find(set: ClusterRecordSet, key: string): Promise<Found | null> {
    const record = await set.get(recordKey(key));
    if (record === null || record.value.length < EXPIRY_BYTES) return null;
    const { value, revision } = record;
    const untilMs = new DataView(value.buffer, value.byteOffset).getFloat64(0);
    return { value: value.slice(EXPIRY_BYTES), revision, isExpired: untilMs <= this.#mustBeBound().wallClock() };
  }

  #recordOf(value: Uint8Array, ttlMs: number): Uint8Array {
    const record = new Uint8Array(EXPIRY_BYTES + value.length);
    new DataView(record.buffer).setFloat64(0, this.#mustBeBound().wallClock() + ttlMs);
    record.set(value, EXPIRY_BYTES);
    return record;
  }

  #set(index: number): Promise<ClusterRecordSet> {
    const records = this.#mustBeBound().records();
    if (this.#openedWith !== records) this.#sets = [];
    this.#openedWith = records;
    const known = this.#sets[index];
    if (known !== undefined) return known;
    const { name, ttlMs } = SETS[index] as (typeof SETS)[number];
    const opening = records.open(name, ttlMs);
    this.#sets[index] = opening;
    opening.catch(() => {
      if (this.#sets[index] === opening) delete this.#sets[index];
    });
    return opening;
  }

  #mustBeBound(): ClusterStoreHost {
    if (this.#host !== null) return this.#host;
    throw new ConduitError(ErrorCode.CLUSTER_UNAVAILABLE, "Cannot use clusterStore(): no server has it yet");
  }
}

function indexFor(ttlMs: number): number {
  const index = SETS.findIndex((set) => ttlMs <= set.ttlMs);
  if (index >= 0) return index;
  throw new ConduitError(ErrorCode.INVALID_CONFIG, `clusterStore() keeps nothing for ${ttlMs} ms; 31 days at most`);
}

function otherThan(index: number): number {
  return index === SHORT ? LONG : SHORT;
}

/** Record keys can't contain slashes. */
function recordKey(key: string): string {
  return key.replaceAll("/", ".");
}
