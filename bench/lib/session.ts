import type { ClientCommands, Memory, ServerCommands, StartArgs, Started } from "./commands.ts";
import { Host } from "./host.ts";
import type { Peer } from "./peer.ts";
import type { Pair } from "./runtimes.ts";

/** Connects in progress at any time. */
export const CONNECT_CONCURRENCY = 64;
const POLL_MS = 10;
const POLLS = 1_000;

/** A server and a client process of one peer; the server is running. */
export class Session {
  readonly server: Host<ServerCommands>;
  readonly client: Host<ClientCommands>;
  readonly started: Started;
  readonly #options: StartArgs;
  #connections = 0;

  private constructor(
    server: Host<ServerCommands>,
    client: Host<ClientCommands>,
    started: Started,
    options: StartArgs,
  ) {
    this.server = server;
    this.client = client;
    this.started = started;
    this.#options = options;
  }

  /** Starts both processes and the server. */
  static async open(peer: Peer, pair: Pair, options: StartArgs): Promise<Session> {
    const starting = await Promise.allSettled([
      Host.start<ServerCommands>({ runtime: pair.server, side: "server", peer }),
      Host.start<ClientCommands>({ runtime: pair.client, side: "client", peer }),
    ]);
    const [server, client] = starting;
    try {
      if (server.status === "rejected") throw server.reason;
      if (client.status === "rejected") throw client.reason;
      const started = await server.value.call("start", options);
      return new Session(server.value, client.value, started, options);
    } catch (error) {
      for (const host of starting) if (host.status === "fulfilled") await host.value.close();
      throw error;
    }
  }

  /** Opens `count` more connections, and waits until the server has them. Returns the seconds spent on opening them. */
  async connect(count: number, concurrency: number = CONNECT_CONCURRENCY): Promise<number> {
    const { tls, maxPayloadBytes } = this.#options;
    const { target } = this.started;
    const { seconds } = await this.client.call("connect", { target, tls, maxPayloadBytes, count, concurrency });
    this.#connections += count;
    await this.#serverHas(this.#connections);
    return seconds;
  }

  /** Closes all connections, and waits until the server has none. */
  async disconnect(): Promise<void> {
    await this.client.call("disconnect", null);
    this.#connections = 0;
    await this.#serverHas(0);
  }

  memory(): Promise<Memory> {
    return this.server.call("memory", null);
  }

  /** Stops the server and ends both processes. Rejects if the server can't be stopped, after ending its process. */
  async close(): Promise<void> {
    try {
      await this.server.call("stop", null);
    } finally {
      await Promise.all([this.client.close(), this.server.close()]);
    }
  }

  async #serverHas(count: number): Promise<void> {
    let has = -1;
    for (let i = 0; i < POLLS; i++) {
      has = await this.server.call("connectionCount", null);
      if (has === count) return;
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    throw new Error(`the server has ${has} connections instead of ${count}`);
  }
}
