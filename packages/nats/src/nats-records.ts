import { jetstream } from "@nats-io/jetstream";
import { type KV, Kvm } from "@nats-io/kv";
import type { NatsConnection } from "@nats-io/transport-node";
import type { ClusterRecord, ClusterRecordSet, ClusterRecords } from "@netconduit/core";
import type { ConnectionRequests } from "./connection-requests.ts";
import { isApiError, JetStreamCode, storageError } from "./nats-errors.ts";
import { mustFitOne } from "./nats-limits.ts";
import type { NatsConfig } from "./nats-options.ts";

/** Timeout of a request to NATS. */
const TIMEOUT_MS = 3000;

/** Sets of records. Each is a KV bucket, whose TTL removes records. */
export class NatsRecords implements ClusterRecords {
  readonly #config: NatsConfig;
  readonly #requests: ConnectionRequests;

  constructor(config: NatsConfig, requests: ConnectionRequests) {
    this.#config = config;
    this.#requests = requests;
  }

  async open(name: string, ttlMs: number): Promise<ClusterRecordSet> {
    const set = new NatsRecordSet(this.#config, this.#requests, name, ttlMs);
    await set.prepare();
    return set;
  }
}

class NatsRecordSet implements ClusterRecordSet {
  readonly #config: NatsConfig;
  readonly #requests: ConnectionRequests;
  readonly #name: string;
  readonly #ttlMs: number;
  /** A bucket is bound to the connection it was opened over, which nats.js may replace. */
  #opened: { readonly connection: NatsConnection; readonly bucket: KV } | null = null;

  constructor(config: NatsConfig, requests: ConnectionRequests, name: string, ttlMs: number) {
    this.#config = config;
    this.#requests = requests;
    this.#name = name;
    this.#ttlMs = ttlMs;
  }

  async prepare(): Promise<void> {
    await this.#do("open", () => Promise.resolve());
  }

  get(key: string): Promise<ClusterRecord | null> {
    return this.#do("read", async (bucket) => {
      const entry = await bucket.get(key);
      if (entry === null || entry.operation !== "PUT") return null;
      return { value: entry.value, revision: entry.revision };
    });
  }

  put(key: string, value: Uint8Array, revision: number | null): Promise<number | null> {
    return this.#do("write", async (bucket, connection, what) => {
      mustFitOne(connection, what, value);
      try {
        if (revision === null) return await bucket.put(key, value);
        return revision === 0 ? await bucket.create(key, value) : await bucket.update(key, value, revision, TIMEOUT_MS);
      } catch (error) {
        const { WRONG_LAST_SEQUENCE, WRONG_LAST_SEQUENCE_UNKNOWN } = JetStreamCode;
        if (isApiError(error, WRONG_LAST_SEQUENCE, WRONG_LAST_SEQUENCE_UNKNOWN)) return null;
        throw error;
      }
    });
  }

  delete(key: string): Promise<void> {
    return this.#do("remove", (bucket) => bucket.delete(key));
  }

  keys(prefix: string, limit: number): Promise<string[]> {
    return this.#do("list", async (bucket) => {
      const keys: string[] = [];
      for await (const key of await bucket.keys(`${prefix}>`)) keys.push(key);
      return keys.sort().slice(0, limit);
    });
  }

  async #do<T>(verb: string, action: (bucket: KV, connection: NatsConnection, what: string) => Promise<T>): Promise<T> {
    const what = `${verb} records '${this.#name}' of the cluster`;
    try {
      return await this.#requests.ask(what, (connection) =>
        this.#inBucket(connection, (bucket) => action(bucket, connection, what)),
      );
    } catch (error) {
      throw storageError(`Cannot ${what}`, error);
    }
  }

  /** Runs `action` on the bucket, creating it if it doesn't exist. Retries once if NATS has lost its data. */
  async #inBucket<T>(connection: NatsConnection, action: (bucket: KV) => Promise<T>): Promise<T> {
    const known = this.#opened;
    if (known?.connection === connection) {
      try {
        return await action(known.bucket);
      } catch (error) {
        if (!isBucketMissing(error)) throw error;
      }
    }
    const bucket = await this.#make(connection);
    this.#opened = { connection, bucket };
    return action(bucket);
  }

  #make(connection: NatsConnection): Promise<KV> {
    const { name, replicas } = this.#config;
    // Direct reads may be served by a lagging replica, which would return a session as it was before it moved.
    const options = { ttl: this.#ttlMs, history: 1, replicas, allow_direct: false };
    return new Kvm(jetstream(connection, { timeout: TIMEOUT_MS, checkAPI: false })).create(
      `netconduit-${name}-${this.#name}`,
      options,
    );
  }
}

function isBucketMissing(error: unknown): boolean {
  if (isApiError(error, JetStreamCode.STREAM_NOT_FOUND)) return true;
  return (
    error instanceof Error &&
    [error, error.cause].some((cause) => (cause as Error | undefined)?.name === "NoResponders")
  );
}
