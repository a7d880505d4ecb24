import { Client, type ClientInit } from "../client/client.ts";
import type { Subscriptions } from "../client/topics/subscriptions.ts";
import type { ConnectionState } from "../connection/connection-state.ts";
import type { Outgoing } from "../endpoint/remote-caller.ts";
import type { Latency } from "../extensions/liveness.ts";
import { once } from "../extensions/once.ts";
import type { Contract } from "../rpc/contract.ts";
import type { Runtime } from "../runtime.ts";
import { LatencyAverage } from "./latency-average.ts";
import type { PoolMember } from "./pool-sender.ts";
import type { PoolServer } from "./server-lookup.ts";

/** Callbacks of {@link PoolConnection} to its pool. */
export interface PoolConnectionHost {
  stateChanged(from: ConnectionState, to: ConnectionState): void;
  /** The client won't reconnect automatically. */
  gaveUp(error: Error): void;
}

/** A client that exposes internals to its pool. */
class PoolClient<C extends Contract> extends Client<C> {
  readonly #gaveUp: (error: Error) => void;

  constructor(init: ClientInit<C>, runtime: Runtime, gaveUp: (error: Error) => void) {
    super(init, runtime);
    this.#gaveUp = gaveUp;
  }

  get outgoing(): Outgoing {
    return this._outgoing;
  }

  get pendingCalls(): number {
    return this._connection?.pendingCalls ?? 0;
  }

  get onceKeys(): string | null {
    return this._connection?.extension(once) ?? null;
  }

  get subscriptions(): Subscriptions {
    return this._subscriptions;
  }

  failedHook(name: string, error: unknown): void {
    this._hookFailed(name, error);
  }

  tryAgain(error: unknown): void {
    this._tryAgain(error);
  }

  report(error: Error, stage: "message" | "rpc", name: string): void {
    this._report(error, stage, name);
  }

  protected override _gaveUp(reason: () => Error): void {
    super._gaveUp(reason);
    this.#gaveUp(reason());
  }
}

/** One connection of a pool: a client and its measurements. */
export class PoolConnection<C extends Contract = Contract> implements PoolMember {
  readonly client: Client<C>;
  readonly server: PoolServer;
  /** Index among the connections to the same server. */
  readonly slot: number;
  readonly #inside: PoolClient<C>;
  readonly #runtime: Runtime;
  readonly #average = new LatencyAverage();
  /** The heartbeat measurement that the average already includes. */
  #heartbeats: Latency | null = null;
  #hasGivenUp = false;
  #isLeaving = false;

  constructor(init: ClientInit<C>, runtime: Runtime, server: PoolServer, slot: number, host: PoolConnectionHost) {
    this.#inside = new PoolClient(init, runtime, (error) => {
      this.#hasGivenUp = true;
      host.gaveUp(error);
    });
    // A class whose hooks get `this` has no assignable subclasses.
    this.client = this.#inside as unknown as Client<C>;
    this.client.onStateChange(({ from, to }) => host.stateChanged(from, to));
    this.server = server;
    this.slot = slot;
    this.#runtime = runtime;
  }

  /** Whether it accepts new calls: it is connected and its server isn't draining. */
  get isUsable(): boolean {
    return isUsable(this.client.state);
  }

  /** Whether its client has stopped reconnecting. */
  get hasGivenUp(): boolean {
    return this.#hasGivenUp;
  }

  get outgoing(): Outgoing {
    return this.#inside.outgoing;
  }

  get address(): string {
    return this.server.address;
  }

  get subscriptions(): Subscriptions {
    return this.#inside.subscriptions;
  }

  /** Reports a failed hook of the application. */
  hookFailed(name: string, error: unknown): void {
    this.#inside.failedHook(name, error);
  }

  get pendingCalls(): number {
    return this.#inside.pendingCalls;
  }

  get onceKeys(): string | null {
    return this.#inside.onceKeys;
  }

  get mayReturn(): boolean {
    return !this.isUsable && !this.#hasGivenUp && !this.#isLeaving;
  }

  /** The server's name no longer resolves to this address. */
  leave(): void {
    this.#isLeaving = true;
  }

  get averageMs(): number | null {
    const { latency } = this.client;
    if (latency !== null && latency !== this.#heartbeats) {
      this.#heartbeats = latency;
      if (latency.samples > 0) this.measured(latency.lastMs, this.#runtime.now());
    }
    return this.#average.ms;
  }

  measured(ms: number, nowMs: number): void {
    this.#average.add(ms, nowMs);
  }

  connect(): Promise<void> {
    this.#hasGivenUp = false;
    return this.client.connect();
  }

  /** The pool's `connect` has failed for this connection: retries as after a lost connection. */
  tryAgain(error: unknown): void {
    this.#inside.tryAgain(error);
  }

  /** Reports a message or call that couldn't be sent to the `onError` hooks. */
  report(error: Error, stage: "message" | "rpc", name: string): void {
    this.#inside.report(error, stage, name);
  }
}

/** Whether a connection in this state accepts new calls. */
export function isUsable(state: ConnectionState): boolean {
  return state === "active" || state === "paused";
}
