import type { Connection, ServerOptions } from "@netconduit/core";
import type { OpenServer } from "../../conformance/support/subject.ts";
import { PASSWORD } from "../password.ts";
import { Scene } from "../scene.ts";

interface ConnectAnswer {
  readonly connected: boolean;
  /** netconduit's log output, which is the only report of why a login failed. */
  readonly log: readonly string[];
  readonly server_info: unknown;
}

/** Counter for unique client names: the driver identifies clients by name, and keeps events of earlier tests' clients. */
let names = 0;

/** Servers of this library, and netconduit clients, run by python/client_driver.py. */
export class ClientScene extends Scene {
  /** Starts a server that accepts netconduit clients. */
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

  /** Options with which a netconduit client connects to `server`. */
  target(server: OpenServer, options: Record<string, unknown> = {}): Record<string, unknown> {
    return { server_port: server.address.port, password: PASSWORD, ...options };
  }

  /** Makes a client log in. The client reports messages of the types in `on`. */
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

  /** Logs a client in and returns both ends of its connection. */
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

  /** Calls a method. Resolves with the result of netconduit's `rpc.call`, in the wrapper that its own server uses. */
  call(client: string, method: string, params: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    return this.driver.run("call", { client, method, params });
  }

  /** Resolves with the data in the wrapper of a successful call. */
  async callData<T = unknown>(client: string, method: string, params: Readonly<Record<string, unknown>>): Promise<T> {
    const { success, data, ...rest } = (await this.call(client, method, params)) as Record<string, unknown>;
    if (success !== true || Object.keys(rest).length > 0)
      throw new Error(`'${method}' failed: ${JSON.stringify(rest)}`);
    return data as T;
  }

  /** Resolves with the next message of `type` to `client`. */
  async message(client: string, type: string): Promise<unknown> {
    return (await this.driver.next({ event: "message", client, type })).data;
  }
}
