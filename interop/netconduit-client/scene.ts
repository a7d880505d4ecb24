import type { Connection, ServerOptions } from "@netconduit/core";
import type { OpenServer } from "../../conformance/support/subject.ts";
import { PASSWORD } from "../password.ts";
import { Scene } from "../scene.ts";

interface ConnectAnswer {
  readonly connected: boolean;
  /** What netconduit logged meanwhile: it tells the reason of a refusal nowhere else. */
  readonly log: readonly string[];
  readonly server_info: unknown;
}

/** The driver tells clients apart by their names, and gives out what an earlier test's client left, too. */
let names = 0;

/** Our servers, and netconduit's clients, which python/client_driver.py runs. */
export class ClientScene extends Scene {
  /** Starts a server that netconduit's clients may log in to. */
  async listen(
    options: Partial<ServerOptions> = {},
    setup: ((server: OpenServer) => void) | null = null,
  ): Promise<OpenServer> {
    const { Server } = this.subject;
    const server = new Server({ host: "127.0.0.1", port: 0, password: PASSWORD, allowPasswordHash: true, ...options });
    setup?.(server);
    await server.start();
    this.defer(async () => {
      await this.driver.run("disconnect_all");
      await server.stop({ drainMs: 0 });
    });
    return server;
  }

  /** What one of their clients needs to know of `server`. */
  target(server: OpenServer, options: Record<string, unknown> = {}): Record<string, unknown> {
    return { server_port: server.address.port, password: PASSWORD, ...options };
  }

  /** Has a client try to log in. Messages of the types in `on` are reported. */
  async dial(
    server: OpenServer,
    options: Record<string, unknown> = {},
    on: readonly string[] = [],
  ): Promise<ConnectAnswer & { readonly client: string }> {
    names += 1;
    const client = `client-${names}`;
    const answer = await this.driver.run<ConnectAnswer>("connect", {
      client,
      options: this.target(server, options),
      on,
    });
    return { client, ...answer };
  }

  /** Logs a client in and gives both ends of its connection. */
  async logIn(
    server: OpenServer,
    options: Record<string, unknown> = {},
    on: readonly string[] = [],
  ): Promise<{ readonly client: string; readonly connection: Connection }> {
    const before = new Set(server.connections);
    const { client, connected, log } = await this.dial(server, options, on);
    if (!connected) throw new Error(`netconduit's client could not log in: ${log.join("; ")}`);
    const connection = server.connections.find((one) => !before.has(one));
    if (connection === undefined) throw new Error("The server has no connection for netconduit's client");
    return { client, connection };
  }

  /** The next message of `type` that `client` gets. */
  async message(client: string, type: string): Promise<unknown> {
    return (await this.driver.next({ event: "message", client, type })).data;
  }
}
