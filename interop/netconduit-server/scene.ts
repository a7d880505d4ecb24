import type { ClientOptions } from "@netconduit/core";
import type { OpenClient } from "../../conformance/support/subject.ts";
import { PASSWORD } from "../password.ts";
import { Scene } from "../scene.ts";

/** A netconduit server. */
export interface Target {
  readonly server: string;
  readonly port: number;
}

/** Counter for unique server names: the driver identifies servers by name, and they outlive their test. */
let names = 0;

/** netconduit servers, run by python/server_driver.py, and clients of this library. */
export class ServerScene extends Scene {
  /** Starts a netconduit server with the handlers in python/server_driver.py, or those in python/shop.py. */
  async listen(options: Record<string, unknown> = {}, handlers: "driver" | "shop" = "driver"): Promise<Target> {
    names += 1;
    const server = `server-${names}`;
    const described = { password: PASSWORD, ...options };
    const port = await this.driver.run<number>("start", { server, options: described, handlers });
    return { server, port };
  }

  /** Creates a client without connecting it. */
  client({ port }: Target, options: Partial<ClientOptions> = {}): OpenClient {
    const made = new this.subject.Client({
      host: "127.0.0.1",
      port,
      password: PASSWORD,
      allowPasswordHash: true,
      reconnect: { enabled: false },
      // netconduit's server leaves its end open, so force disconnects at the end of a test.
      closeTimeoutMs: 1,
      ...options,
    });
    this.defer(() => made.disconnect());
    return made;
  }

  /** Creates and connects a client. */
  async logIn(target: Target, options: Partial<ClientOptions> = {}): Promise<OpenClient> {
    const made = this.client(target, options);
    await made.connect();
    return made;
  }

  /** Resolves with the connection's id on the netconduit server, after the server's login event and when it counts the connection. */
  async idOf(ours: OpenClient): Promise<string> {
    const { id } = await ours.request<{ id: string }>("who");
    return id;
  }
}
