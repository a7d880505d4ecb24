import {
  type ClientInit,
  type ClientOptions,
  type Connection,
  type Contract,
  Client as CoreClient,
  ClientPool as CoreClientPool,
  Server as CoreServer,
  type PoolInit,
  type ServerInit,
} from "@netconduit/core";
import type { Runtime } from "@netconduit/core/adapter";
import { expect } from "vitest";
import { leftovers, watchFromNow } from "../../packages/core/src/test-support/leftovers.ts";
import type { RawLogin, RawPeer } from "../../packages/core/src/test-support/raw-peer.ts";
import { socketPeer } from "../../packages/core/src/test-support/raw-socket.ts";
import { Cleanups } from "../support/cleanups.ts";
import type { OpenClient, OpenServer, Subject } from "../support/subject.ts";

/** Password of all servers on a stage. */
export const PASSWORD = "secret";
/** Some tests transfer megabytes on busy machines; no test should fail only because it is slow. */
export const PATIENT = { timeout: 60_000 };
/** The fastest login that the library permits. */
const FAST = { scramIterations: 4096 };

interface Port {
  readonly address: { readonly port: number };
}

/** Creates servers, clients and raw peers for one test, and closes them afterwards. */
export class Stage extends Cleanups {
  readonly subject: Subject;

  constructor(subject: Subject) {
    super();
    this.subject = subject;
  }

  /** Creates a server on 127.0.0.1 without starting it. */
  server(options: Partial<ServerInit> = {}, runtime?: Runtime): OpenServer {
    return this.ownServer(this.serverOptions(options), runtime);
  }

  /** Creates a server with a contract or typed connection data. Takes all options. */
  ownServer<C extends Contract, D extends object>(options: ServerInit<C, D>, runtime?: Runtime): CoreServer<C, D> {
    const { Server } = this.subject;
    const server = runtime === undefined ? new Server<C, D>(options) : new CoreServer<C, D>(options, runtime);
    server.onError(() => {});
    this.defer(() => server.stop({ drainMs: 0 }));
    return server;
  }

  serverOptions<O extends object>(options: O): { password: string; host: string; port: number } & O {
    return { password: PASSWORD, host: "127.0.0.1", port: 0, ...FAST, ...options };
  }

  /** Creates a server and starts it. */
  async listen(options: Partial<ServerInit> = {}, runtime?: Runtime): Promise<OpenServer> {
    const server = this.server(options, runtime);
    await server.start();
    return server;
  }

  /** Creates a client of `server` without connecting it. It doesn't reconnect automatically. */
  client(server: Port, options: Partial<ClientOptions> = {}, runtime?: Runtime): OpenClient {
    return this.ownClient(server, options, runtime);
  }

  /** Creates a client with a contract. */
  ownClient<C extends Contract>(server: Port, options: Partial<ClientInit<C>> = {}, runtime?: Runtime): CoreClient<C> {
    const all: ClientInit<C> = {
      password: PASSWORD,
      host: "127.0.0.1",
      port: server.address.port,
      reconnect: { enabled: false },
      ...options,
    };
    const { Client } = this.subject;
    const client = runtime === undefined ? new Client<C>(all) : new CoreClient<C>(all, runtime);
    client.onError(() => {});
    this.defer(() => client.disconnect());
    return client;
  }

  /** Creates a client and connects it. */
  async join(server: Port, options: Partial<ClientOptions> = {}, runtime?: Runtime): Promise<OpenClient> {
    const client = this.client(server, options, runtime);
    await client.connect();
    return client;
  }

  /** Creates a pool for `servers` without connecting it. It reconnects without delay. */
  pool(servers: readonly Port[], options: Partial<PoolInit> = {}, runtime?: Runtime): CoreClientPool {
    return this.ownPool({ servers: servers.map(localTarget), ...options }, runtime);
  }

  /** Creates a pool with a contract, or for servers that aren't on a stage. */
  ownPool<C extends Contract>(
    options: Partial<PoolInit<C>> & Pick<PoolInit<C>, "servers">,
    runtime?: Runtime,
  ): CoreClientPool<C> {
    const all: PoolInit<C> = { password: PASSWORD, reconnect: { delayMs: 20, maxDelayMs: 20 }, ...options };
    const { ClientPool } = this.subject;
    const pool = runtime === undefined ? new ClientPool<C>(all) : new CoreClientPool<C>(all, runtime);
    pool.onError(() => {});
    this.defer(() => pool.disconnect());
    return pool;
  }

  /** Connects a raw peer without logging in. */
  async raw(server: Port): Promise<RawPeer> {
    const peer = await socketPeer(server.address.port);
    this.defer(() => peer.dispose());
    return peer;
  }

  /** Connects a raw peer that offers all extensions, and logs it in. */
  async rawLoggedIn(server: Port, login: Partial<RawLogin> = {}): Promise<RawPeer> {
    const peer = await this.raw(server);
    await peer.login({ password: PASSWORD, ...login });
    return peer;
  }
}

function localTarget({ address: { port } }: Port): { host: string; port: number } {
  return { host: "127.0.0.1", port };
}

/** Wraps a test's body so that it gets its own stage. */
export function stagedOn(subject: Subject): (body: (stage: Stage) => Promise<void>) => () => Promise<void> {
  return (body) => async () => {
    const stage = new Stage(subject);
    watchFromNow();
    try {
      await body(stage);
    } finally {
      await stage.dispose();
    }
    expect(leftovers()).toEqual([]);
  };
}

/** Returns the server's end of a client's connection. */
export function connectionOf<C extends Contract, D extends object>(
  server: CoreServer<C, D>,
  client: { readonly sessionToken: string | null },
): Connection<C, D> {
  const found = server.connections.find((connection) => connection.session.token === client.sessionToken);
  if (found === undefined) throw new Error("The server has no connection for this client");
  return found;
}
