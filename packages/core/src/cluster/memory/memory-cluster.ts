import { KnownOptions } from "../../util/known-options.ts";
import type { ClusterOptions } from "../cluster-options.ts";
import type { ClusterDriver, PublishResult } from "../driver.ts";
import { MemoryLink } from "./memory-link.ts";
import { MemoryLogs } from "./memory-logs.ts";
import { MemoryRecords } from "./memory-records.ts";

/** Options of a {@link MemoryCluster}. */
export interface MemoryClusterOptions {
  /** Largest payload. Default 1 MiB. */
  readonly maxPayloadBytes?: number | undefined;
  /** Latency of messages in milliseconds. Default 0: they arrive in a later microtask. */
  readonly delayMs?: number | undefined;
  /** Whether the cluster has logs and records. Default true. */
  readonly isDurable?: boolean | undefined;
}

const KNOWN = new KnownOptions<MemoryClusterOptions>("new MemoryCluster", {
  maxPayloadBytes: true,
  delayMs: true,
  isDurable: true,
});

/**
 * Links several servers of one process, for tests, and injects faults on demand.
 *
 * ```ts
 * const cluster = new MemoryCluster();
 * const a = new Server({ …, cluster: cluster.driver({ nodeId: "a" }) });
 * const b = new Server({ …, cluster: cluster.driver({ nodeId: "b" }) });
 * cluster.cut("b");  // b's link is lost, and it knows
 * cluster.heal("b");
 * cluster.partition(["a"], ["b"]);  // messages between them are lost, and neither knows
 * ```
 */
export class MemoryCluster {
  /** Larger payloads are rejected. */
  maxPayloadBytes: number;
  /** Latency of messages, in milliseconds. */
  delayMs: number;
  /** Number of messages received, by node id. */
  readonly received: Map<string, number> = new Map();
  readonly #isDurable: boolean;
  readonly #links = new Set<MemoryLink>();
  /** Ids of nodes whose links are cut. */
  readonly #cut = new Set<string>();
  /** Groups of nodes that can reach each other; null if all can. */
  #groups: readonly ReadonlySet<string>[] | null = null;
  #dropping = 0;
  #refusing = 0;
  readonly #logs = new MemoryLogs();
  readonly #records = new MemoryRecords();

  constructor(options: MemoryClusterOptions = {}) {
    KNOWN.check(options);
    const { maxPayloadBytes = 1024 * 1024, delayMs = 0, isDurable = true } = options;
    this.maxPayloadBytes = maxPayloadBytes;
    this.delayMs = delayMs;
    this.#isDurable = isDurable;
  }

  /** Creates a driver for one server. */
  driver(options: ClusterOptions = {}): ClusterDriver {
    return {
      name: "memory",
      options,
      start: async (host) => {
        const link = new MemoryLink(host, {
          cluster: this,
          logs: this.#isDurable ? this.#logs : null,
          records: this.#isDurable ? this.#records : null,
          isReachable: () => !this.#cut.has(host.nodeId),
          send: (from, key, payload) => this.#send(from, key, payload),
          closed: (closed) => this.#links.delete(closed),
        });
        this.#links.add(link);
        return link;
      },
    };
  }

  /** Cuts a node's link, or keeps it from connecting. The node is notified. */
  cut(nodeId: string): void {
    this.#cut.add(nodeId);
    for (const link of this.#links) if (link.nodeId === nodeId) link.cut();
  }

  /** Undoes `cut`. */
  heal(nodeId: string): void {
    this.#cut.delete(nodeId);
    for (const link of this.#links) if (link.nodeId === nodeId) link.heal();
  }

  /** Partitions the cluster: only nodes of the same group reach each other, and no node is notified. Call without groups to undo. */
  partition(...groups: readonly (readonly string[])[]): void {
    this.#groups = groups.length === 0 ? null : groups.map((group) => new Set(group));
  }

  /** Silently drops the next messages. */
  dropNext(count: number): void {
    this.#dropping = count;
  }

  /** Rejects the next publishes with `full`. */
  refuseNext(count: number): void {
    this.#refusing = count;
  }

  /** Makes a node's link report lost messages. */
  reportLost(nodeId: string, direction: "sent" | "received", count: number): void {
    for (const link of this.#links) if (link.nodeId === nodeId) link.reportLost(direction, count);
  }

  /** Simulates the loss of all logs and records. */
  wipe(): void {
    this.#logs.wipe();
    this.#records.wipe();
  }

  #send(from: MemoryLink, key: string, payload: Uint8Array): PublishResult {
    if (payload.length > this.maxPayloadBytes) return "too-large";
    if (this.#refusing > 0) {
      this.#refusing -= 1;
      return "full";
    }
    for (const link of this.#links) {
      if (link === from || !link.isSubscribed(key) || !this.#reaches(from.nodeId, link.nodeId)) continue;
      if (this.#dropping > 0) {
        this.#dropping -= 1;
        continue;
      }
      link.receive(key, payload.slice(), this.delayMs);
    }
    return "sent";
  }

  #reaches(from: string, to: string): boolean {
    return this.#groups === null || this.#groups.some((group) => group.has(from) && group.has(to));
  }
}
