import type { ClientOptions } from "@netconduit/core";
import type { OpenClient } from "../../conformance/support/subject.ts";
import { PASSWORD } from "../password.ts";
import { Scene } from "../scene.ts";

/** One of netconduit's servers. */
export interface Target {
  readonly server: string;
  readonly port: number;
}

/** The driver tells servers apart by their names, and they outlive their test. */
let names = 0;

/** netconduit's servers, which python/server_driver.py runs, and our clients. */
export class ServerScene extends Scene {
  /** Starts one of netconduit's servers; python/server_driver.py has its methods and handlers. */
  async listen(options: Record<string, unknown> = {}): Promise<Target> {
    names += 1;
    const server = `server-${names}`;
    const port = await this.driver.run<number>("start", { server, options: { password: PASSWORD, ...options } });
    return { server, port };
  }

  /** A client that is not connected. */
  client({ port }: Target, options: Partial<ClientOptions> = {}): OpenClient {
    const made = new this.subject.Client({
      host: "127.0.0.1",
      port,
      password: PASSWORD,
      allowPasswordHash: true,
      reconnect: { enabled: false },
      // netconduit's server leaves its end open, so each disconnect at the end of a test is forced.
      closeTimeoutMs: 1,
      ...options,
    });
    this.defer(() => made.disconnect());
    return made;
  }

  /** A client that is connected. */
  async logIn(target: Target, options: Partial<ClientOptions> = {}): Promise<OpenClient> {
    const made = this.client(target, options);
    await made.connect();
    return made;
  }

  /** The connection's id on their side. It is told of a login before it counts the connection: this waits for both. */
  async idOf(ours: OpenClient): Promise<string> {
    const { id } = await ours.request<{ id: string }>("who");
    return id;
  }
}
