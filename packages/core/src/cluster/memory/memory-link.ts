import { Fifo } from "../../util/fifo.ts";
import type {
  ClusterAddress,
  ClusterHost,
  ClusterLink,
  ClusterLinkStats,
  ClusterLogs,
  ClusterRecords,
  ClusterState,
  ClusterSubscription,
  PublishResult,
} from "../driver.ts";
import { inMicrotask } from "./in-microtask.ts";
import type { MemoryLogs } from "./memory-logs.ts";
import type { MemoryRecords } from "./memory-records.ts";

/** The cluster of a {@link MemoryLink}. */
export interface MemoryLinkHost {
  readonly cluster: { readonly maxPayloadBytes: number; readonly received: Map<string, number> };
  /** Null if the cluster has no logs. */
  readonly logs: MemoryLogs | null;
  readonly records: MemoryRecords | null;
  isReachable(): boolean;
  send(from: MemoryLink, key: string, payload: Uint8Array): PublishResult;
  closed(link: MemoryLink): void;
}

/** A message in transit. */
interface Transit {
  readonly key: string;
  readonly payload: Uint8Array;
  /** Monotonic milliseconds. */
  readonly dueAtMs: number;
}

/** A node's link in a `MemoryCluster`. */
export class MemoryLink implements ClusterLink {
  readonly nodeId: string;
  readonly logs: ClusterLogs | null;
  readonly records: ClusterRecords | null;
  readonly #host: ClusterHost;
  readonly #cluster: MemoryLinkHost;
  readonly #listeners = new Map<string, (payload: Uint8Array) => void>();
  readonly #transit = new Fifo<Transit>();
  /** When the last message in transit is due. */
  #lastDueAtMs = 0;
  #timer: unknown = null;
  #isDelivering = false;
  #state: ClusterState;
  readonly #stats = { sentMessages: 0, sentBytes: 0, receivedMessages: 0, receivedBytes: 0 };

  constructor(host: ClusterHost, cluster: MemoryLinkHost) {
    this.nodeId = host.nodeId;
    this.#host = host;
    this.#cluster = cluster;
    this.#state = cluster.isReachable() ? "connected" : "connecting";
    const isConnected = (): boolean => this.#state === "connected";
    this.logs = cluster.logs?.of({ isConnected, maxPayloadBytes: () => this.maxPayloadBytes }) ?? null;
    this.records = cluster.records?.of({ isConnected, now: () => host.clock.now() }) ?? null;
  }

  get state(): ClusterState {
    return this.#state;
  }

  get maxPayloadBytes(): number {
    return this.#cluster.cluster.maxPayloadBytes;
  }

  get stats(): ClusterLinkStats {
    return { ...this.#stats };
  }

  publish(address: ClusterAddress, payload: Uint8Array): PublishResult {
    if (this.#state !== "connected") return "disconnected";
    const result = this.#cluster.send(this, keyOf(address), payload);
    if (result !== "sent") return result;
    this.#stats.sentMessages += 1;
    this.#stats.sentBytes += payload.length;
    return result;
  }

  subscribe(address: ClusterAddress, onMessage: (payload: Uint8Array) => void): ClusterSubscription {
    const key = keyOf(address);
    this.#listeners.set(key, onMessage);
    return {
      ready: Promise.resolve(),
      unsubscribe: () => {
        if (this.#listeners.get(key) === onMessage) this.#listeners.delete(key);
      },
    };
  }

  async close(): Promise<void> {
    this.#state = "disconnected";
    this.#listeners.clear();
    this.#forgetTransit();
    this.#cluster.logs?.closed(this.logs);
    this.#cluster.closed(this);
  }

  // --- for the cluster ----------------------------------------------------------------------------------------------

  /** Whether this link is subscribed to the address. */
  isSubscribed(key: string): boolean {
    return this.#state === "connected" && this.#listeners.has(key);
  }

  receive(key: string, payload: Uint8Array, delayMs: number): void {
    // Keep the order if the delay is reduced.
    const dueAtMs = Math.max(this.#lastDueAtMs, this.#host.clock.now() + delayMs);
    this.#lastDueAtMs = dueAtMs;
    this.#transit.push({ key, payload, dueAtMs });
    this.#deliverLater();
  }

  cut(): void {
    if (this.#state !== "connected") return;
    this.#state = "reconnecting";
    const lost = this.#transit.length;
    this.#forgetTransit();
    this.#host.stateChanged("reconnecting", null);
    if (lost > 0) this.#host.messagesLost("received", lost);
  }

  heal(): void {
    if (this.#state !== "connecting" && this.#state !== "reconnecting") return;
    this.#state = "connected";
    this.#host.stateChanged("connected", null);
    this.#cluster.logs?.reconnected(this.logs);
  }

  reportLost(direction: "sent" | "received", count: number): void {
    this.#host.messagesLost(direction, count);
  }

  #forgetTransit(): void {
    this.#transit.clear();
    this.#lastDueAtMs = 0;
    if (this.#timer !== null) this.#host.clock.clearTimer(this.#timer);
    this.#timer = null;
  }

  #deliverLater(): void {
    if (this.#isDelivering || this.#timer !== null) return;
    const waitMs = Math.ceil((this.#transit.peek()?.dueAtMs ?? 0) - this.#host.clock.now());
    if (waitMs > 0) {
      this.#timer = this.#host.clock.setTimer(() => this.#deliver(), waitMs, true);
      return;
    }
    this.#isDelivering = true;
    inMicrotask(() => this.#deliver());
  }

  #deliver(): void {
    this.#isDelivering = false;
    this.#timer = null;
    const next = this.#transit.shift();
    if (next === undefined) return;
    const onMessage = this.#listeners.get(next.key);
    if (onMessage !== undefined) {
      const { received } = this.#cluster.cluster;
      received.set(this.nodeId, (received.get(this.nodeId) ?? 0) + 1);
      this.#stats.receivedMessages += 1;
      this.#stats.receivedBytes += next.payload.length;
      onMessage(next.payload);
    }
    if (this.#transit.length > 0) this.#deliverLater();
  }
}

function keyOf({ kind, name }: ClusterAddress): string {
  return `${kind} ${name}`;
}
