import { type ClientOptions, Client as CoreClient } from "@netconduit/core";
import type { Runtime } from "@netconduit/core/adapter";
import type { OpenClient } from "../support/subject.ts";
import { Half, PASSWORD } from "./half.ts";
import type { Place } from "./server-half.ts";

export type ClientSettings = Partial<ClientOptions>;

/** What the client's half of a scenario works with. */
export class ClientHalf extends Half {
  #place: Promise<Place> | null = null;

  /** Where the server is; waits until it is open. */
  place(): Promise<Place> {
    this.#place ??= this.waitFor<Place>("place");
    return this.#place;
  }

  /** Where the next server of the scenario is; from now on that is the one that `client` and the like reach. */
  nextPlace(): Promise<Place> {
    this.#place = null;
    return this.place();
  }

  /** A client of the server that is not connected, and does not come back by itself. */
  async client(options: ClientSettings = {}, runtime?: Runtime): Promise<OpenClient> {
    const { host, port, path } = await this.place();
    this.check();
    const where = path === null ? { host, port } : { path };
    const all = { password: PASSWORD, reconnect: { enabled: false }, ...where, ...options };
    const client =
      runtime === undefined
        ? new this.subject.Client(all as ClientOptions)
        : new CoreClient(all as ClientOptions, runtime);
    // Errors that a scenario provokes are no warnings of the process.
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
