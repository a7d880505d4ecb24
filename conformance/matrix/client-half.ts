import { type ClientOptions, Client as CoreClient } from "@netconduit/core";
import type { Runtime } from "@netconduit/core/adapter";
import type { OpenClient } from "../support/subject.ts";
import { Half, PASSWORD } from "./half.ts";
import type { ServerAddress } from "./server-half.ts";

export type ClientSettings = Partial<ClientOptions>;

/** The client's half of a scenario. */
export class ClientHalf extends Half {
  #address: Promise<ServerAddress> | null = null;

  /** Resolves with the server's address once it listens. */
  serverAddress(): Promise<ServerAddress> {
    this.#address ??= this.waitFor<ServerAddress>("address");
    return this.#address;
  }

  /** Waits for the next server of the scenario. From now on, clients are for that one. */
  nextServer(): Promise<ServerAddress> {
    this.#address = null;
    return this.serverAddress();
  }

  /** A client of the server that is not connected, and does not come back by itself. */
  async client(options: ClientSettings = {}, runtime?: Runtime): Promise<OpenClient> {
    const { host, port, path } = await this.serverAddress();
    this.check();
    const where = path === null ? { host, port } : { path };
    const all = { password: PASSWORD, reconnect: { enabled: false }, ...where, ...options };
    const client =
      runtime === undefined
        ? new this.subject.Client(all as ClientOptions)
        : new CoreClient(all as ClientOptions, runtime);
    // A scenario provokes errors; without a hook they would become process warnings.
    client.onError(() => {});
    this.defer(() => client.disconnect());
    return client;
  }

  /** A client that is connected. */
  async join(options: ClientSettings = {}, runtime?: Runtime): Promise<OpenClient> {
    const client = await this.client(options, runtime);
    await client.connect();
    return client;
  }
}
