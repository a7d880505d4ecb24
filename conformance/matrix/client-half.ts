import { type ClientOptions, Client as CoreClient } from "@netconduit/core";
import type { Runtime } from "@netconduit/core/adapter";
import type { OpenClient } from "../support/subject.ts";
import { Half, PASSWORD } from "./half.ts";
import type { ServerAddress } from "./server-half.ts";

export type ClientSettings = Partial<ClientOptions>;

/** The client half of a scenario. */
export class ClientHalf extends Half {
  #address: Promise<ServerAddress> | null = null;

  /** Resolves with the server's address when it listens. */
  serverAddress(): Promise<ServerAddress> {
    this.#address ??= this.waitFor<ServerAddress>("address");
    return this.#address;
  }

  /** Waits for the next server of the scenario. Further clients connect to that server. */
  nextServer(): Promise<ServerAddress> {
    this.#address = null;
    return this.serverAddress();
  }

  /** Creates an unconnected client without automatic reconnection. */
  async client(options: ClientSettings = {}, runtime?: Runtime): Promise<OpenClient> {
    const { host, port, path } = await this.serverAddress();
    this.check();
    const where = path === null ? { host, port } : { path };
    const all = { password: PASSWORD, reconnect: { enabled: false }, ...where, ...options };
    const client =
      runtime === undefined
        ? new this.subject.Client(all as ClientOptions)
        : new CoreClient(all as ClientOptions, runtime);
    // Scenarios provoke errors, which would become process warnings without a hook.
    client.onError(() => {});
    this.defer(() => client.disconnect());
    return client;
  }

  /** Creates a client and connects it. */
  async join(options: ClientSettings = {}, runtime?: Runtime): Promise<OpenClient> {
    const client = await this.client(options, runtime);
    await client.connect();
    return client;
  }
}
