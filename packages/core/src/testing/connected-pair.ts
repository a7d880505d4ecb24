import type { Client } from "../client/client.ts";
import type { Contract } from "../rpc/contract.ts";
import type { Connection } from "../server/connection.ts";
import type { Server } from "../server/server.ts";
import type { Awaitable } from "../util/awaitable.ts";
import { KnownOptions } from "../util/known-options.ts";
import type { FrameRecorder } from "./frame-recorder.ts";
import {
  type TestClientOptions,
  type TestClock,
  TestNetwork,
  type TestNetworkOptions,
  type TestServerOptions,
} from "./test-network.ts";

/** Options of {@link connectedPair}. */
export interface PairOptions<C extends Contract, D extends object> extends TestNetworkOptions {
  /** The contract of both sides. Default: none. */
  readonly contract?: C | undefined;
  /** Further options of the server. */
  readonly server?: TestServerOptions<C, D> | undefined;
  /** Further options of the client. */
  readonly client?: TestClientOptions<C> | undefined;
  /** Registers handlers and hooks of both sides before the server starts. */
  readonly prepare?: ((server: Server<C, D>, client: Client<C>) => Awaitable<unknown>) | undefined;
}

/** A server and a client that is logged in to it. */
export interface ConnectedPair<C extends Contract, D extends object> {
  readonly server: Server<C, D>;
  readonly client: Client<C>;
  /** The server's view of the client. */
  readonly connection: Connection<C, D>;
  readonly clock: TestClock;
  /** All frames sent, including the login. */
  readonly frames: FrameRecorder;
  /** The network of both, for adding servers, clients and raw clients. */
  readonly network: TestNetwork;
  /** Closes the client, the server, and everything else created by the network. */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

const KNOWN = new KnownOptions<PairOptions<Contract, object>>("connectedPair", {
  runtime: true,
  maxChunkBytes: true,
  contract: true,
  server: true,
  client: true,
  prepare: true,
});

/**
 * Creates a server and a client that is logged in to it, in memory. They don't keep the process running, so a test
 * doesn't have to close them.
 * @throws ConduitError like `new Server`, `server.start`, `new Client` and `client.connect`
 */
export async function connectedPair<C extends Contract = Contract, D extends object = Record<string, unknown>>(
  options: PairOptions<C, D> = {},
): Promise<ConnectedPair<C, D>> {
  KNOWN.check(options);
  const { contract, server: serverOptions, client: clientOptions, prepare, ...rest } = options;
  const network = new TestNetwork(rest);
  const shared = contract === undefined ? {} : { contract };
  let client: Client<C> | undefined;
  const server = await network.server<C, D>(
    { ...shared, ...serverOptions } as TestServerOptions<C, D>,
    async (made) => {
      client = network.client<C>({ ...shared, ...clientOptions } as TestClientOptions<C>);
      await prepare?.(made, client);
    },
  );
  const connected = client as unknown as Client<C>;
  await connected.connect();
  const connection = server.connections[0] as Connection<C, D>;
  const close = (): Promise<void> => network.close();
  return {
    server,
    client: connected,
    connection,
    clock: network.clock,
    frames: network.frames,
    network,
    close,
    [Symbol.asyncDispose]: close,
  };
}
