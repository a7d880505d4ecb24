import type { Client, ClientInit } from "../client/client.ts";
import type { ConnectionState } from "../connection/connection-state.ts";
import type { Disposer } from "../endpoint/method-types.ts";
import type { Contract } from "../rpc/contract.ts";
import type { Runtime } from "../runtime.ts";
import { PoolConnection } from "./pool-connection.ts";
import type { PoolConfig } from "./pool-options.ts";
import { Registrations } from "./registrations.ts";
import type { PoolServer } from "./server-lookup.ts";

/** The pool of its members. */
export interface PoolMembersHost<C extends Contract> {
  readonly config: PoolConfig;
  readonly contract: C | undefined;
  readonly runtime: Runtime;
  stateChanged(from: ConnectionState, to: ConnectionState): void;
  /** A client won't reconnect automatically. */
  gaveUp(error: Error): void;
}

/** The clients of a pool: `size` for each server, all with the pool's handlers and hooks. */
export class PoolMembers<C extends Contract> {
  readonly #host: PoolMembersHost<C>;
  readonly #registrations = new Registrations<Client<C>>();
  #connections: readonly PoolConnection<C>[] = [];
  /** Clients of servers that a name no longer resolves to; closed once their calls have finished. */
  readonly #leaving = new Set<PoolConnection<C>>();
  #keepsRunning = true;

  constructor(host: PoolMembersHost<C>) {
    this.#host = host;
  }

  /** Connections to the current servers. */
  get connections(): readonly PoolConnection<C>[] {
    return this.#connections;
  }

  /** The connections that accept new calls. If there are none, includes those to removed servers. */
  get usable(): PoolConnection<C>[] {
    const usable = this.#connections.filter(({ isUsable }) => isUsable);
    return usable.length > 0 ? usable : [...this.#leaving].filter(({ isUsable }) => isUsable);
  }

  /** The connections by server address, in the order of the servers. */
  byServer(): Map<string, readonly PoolConnection<C>[]> {
    const servers = new Map<string, PoolConnection<C>[]>();
    for (const connection of this.#connections) {
      const known = servers.get(connection.address);
      if (known === undefined) servers.set(connection.address, [connection]);
      else known.push(connection);
    }
    return servers;
  }

  /**
   * Sets the servers. Connections to removed servers get no new calls once others accept them.
   * @returns connections to the new servers, which aren't connected yet
   */
  found(servers: readonly PoolServer[]): readonly PoolConnection<C>[] {
    const before = new Map(
      this.#connections.map((connection) => [keyOf(connection.server, connection.slot), connection]),
    );
    const added: PoolConnection<C>[] = [];
    const connectionOf = (server: PoolServer, slot: number): PoolConnection<C> => {
      const known = before.get(keyOf(server, slot));
      if (known !== undefined) return known;
      const connection = this.#make(server, slot);
      added.push(connection);
      return connection;
    };
    // Slot by slot, so that consecutive calls go to different servers.
    const slots = Array.from({ length: this.#host.config.size }, (_, slot) => slot);
    this.#connections = slots.flatMap((slot) => servers.map((server) => connectionOf(server, slot)));
    const kept = new Set(this.#connections);
    for (const connection of before.values()) {
      if (kept.has(connection)) continue;
      connection.leave();
      this.#leaving.add(connection);
    }
    this.#endLeaving();
    return added;
  }

  /** Adds a handler or hook to all clients, including later ones. Returns a function that removes it. */
  register(add: (client: Client<C>) => Disposer): Disposer {
    return this.#registrations.add(
      this.#all().map(({ client }) => client),
      add,
    );
  }

  /** Whether clients keep the process running. */
  set keepsRunning(keepsRunning: boolean) {
    this.#keepsRunning = keepsRunning;
    for (const { client } of this.#all()) {
      if (keepsRunning) client.ref();
      else client.unref();
    }
  }

  async closeAll(reason: string): Promise<void> {
    await Promise.all(this.#all().map(({ client }) => client.close(reason)));
  }

  #all(): PoolConnection<C>[] {
    return [...this.#connections, ...this.#leaving];
  }

  #make(server: PoolServer, slot: number): PoolConnection<C> {
    const { config: all, contract, runtime } = this.#host;
    const { servers: _servers, size: _size, strategy: _strategy, lookupIntervalMs: _interval, ...config } = all;
    const { password, credentials, tls, resume } = all;
    const { target, name } = server;
    const init = {
      ...config,
      ...target,
      password,
      credentials,
      // The server's certificate is for the name, not for its address. `key` isn't enumerable.
      tls: tls === null ? undefined : { ...tls, key: tls.key, serverName: tls.serverName ?? name ?? undefined },
      resume: resume === null ? undefined : { maxBytes: resume.maxBytes },
      contract,
      queueWhileDisconnected: "reject",
    } as ClientInit<C>;
    const connection = new PoolConnection(init, runtime, server, slot, {
      stateChanged: (from, to) => this.#host.stateChanged(from, to),
      gaveUp: (error) => this.#host.gaveUp(error),
    });
    this.#registrations.addAllTo(connection.client);
    if (!this.#keepsRunning) connection.client.unref();
    return connection;
  }

  /** Closes connections to removed servers once their calls have finished and other servers accept calls. */
  #endLeaving(): void {
    const isReplaced = this.#connections.some(({ isUsable }) => isUsable);
    for (const connection of this.#leaving) {
      const { client } = connection;
      if (client.isConnected && (connection.pendingCalls > 0 || !isReplaced)) continue;
      void client.close("The server's name no longer stands for its address").then(() => {
        this.#leaving.delete(connection);
        this.#registrations.forget(client);
      });
    }
  }
}

function keyOf({ address }: PoolServer, slot: number): string {
  return `${slot} ${address}`;
}
