/** netconduit itself, from the built packages: login with SCRAM, limits, deadlines, heartbeats and all. */
import { packageVersion } from "../lib/package-version.ts";
import type { BenchClient, BenchServer, ClientOptions, Peer, ServerOptions, Target } from "../lib/peer.ts";
import { runtimeName } from "../lib/runtime-name.ts";
import { type AddParams, AddSchema, type Message, mark, methodName, type News, servedBytes } from "../lib/workload.ts";

type Netconduit = typeof import("@netconduit/node");
type Client = InstanceType<Netconduit["Client"]>;

const PASSWORD = "measured";
const KIB = 1024;
const DEFAULT_MAX_MESSAGE_BYTES = 10 * KIB * KIB;

let loaded: Promise<Netconduit> | null = null;

/** The package of the runtime this process runs on, loaded once. All of them have the same types. */
function library(): Promise<Netconduit> {
  loaded ??= import(`@netconduit/${runtimeName()}`) as Promise<Netconduit>;
  return loaded;
}

/** The option's value for payloads of this size, with room for what stands around them. */
function maxMessageBytes(maxPayloadBytes: number): number {
  return Math.max(DEFAULT_MAX_MESSAGE_BYTES, maxPayloadBytes + KIB);
}

/** @param recycles gives received binary data back once it was looked at */
async function startServer(options: ServerOptions, recycles: boolean): Promise<BenchServer> {
  const { recycle, Server } = await library();
  const server = new Server({
    password: PASSWORD,
    host: "127.0.0.1",
    port: 0,
    maxConnections: options.maxConnections,
    maxMessageBytes: maxMessageBytes(options.maxPayloadBytes),
    ...(options.tls === null ? {} : { tls: { cert: options.tls.cert, key: options.tls.key } }),
  });
  for (let index = 0; index < options.methods; index++) server.rpc(methodName(index), AddSchema, ({ a, b }) => a + b);
  server.on("message", (_connection, data) => data);
  server.on("upload", (_connection, bytes) => {
    const seen = mark(bytes as Uint8Array);
    if (recycles) recycle(bytes as Uint8Array);
    return seen;
  });
  server.on("download", (_connection, length) => servedBytes(length as number));
  // What the bench causes is no error; the harness shows standard error when a measurement fails.
  server.onError((error, { stage }) => console.error(stage, error));
  server.onSlowConsumer((_connection, event) => console.error("slow consumer", event));
  await server.start();
  return {
    target: { host: "127.0.0.1", port: server.address.port },
    connectionCount: () => server.connectionCount,
    broadcast(news) {
      server.broadcast("news", news);
    },
    close: () => server.stop(),
  };
}

class NetconduitClient implements BenchClient {
  private readonly client: Client;
  private readonly recycle: Netconduit["recycle"] | null;

  constructor(client: Client, recycle: Netconduit["recycle"] | null) {
    this.client = client;
    this.recycle = recycle;
  }

  call(params: AddParams, method = 0): Promise<number> {
    return this.client.call(methodName(method), params) as Promise<number>;
  }

  request(message: Message): Promise<Message> {
    return this.client.request("message", message) as Promise<Message>;
  }

  async onBroadcast(listener: (news: News) => void): Promise<void> {
    this.client.on("news", listener as (data: unknown) => void);
  }

  upload(bytes: Uint8Array): Promise<number> {
    return this.client.request("upload", bytes) as Promise<number>;
  }

  async download(length: number): Promise<number> {
    const bytes = (await this.client.request("download", length)) as Uint8Array;
    const seen = mark(bytes);
    this.recycle?.(bytes);
    return seen;
  }

  close(): Promise<void> {
    return this.client.disconnect();
  }
}

async function connect(
  { host, port }: Target,
  { tls, maxPayloadBytes }: ClientOptions,
  recycles: boolean,
): Promise<BenchClient> {
  const { Client, recycle } = await library();
  const client = new Client({
    host,
    port,
    password: PASSWORD,
    maxMessageBytes: maxMessageBytes(maxPayloadBytes),
    reconnect: { enabled: false },
    ...(tls === null ? {} : { tls: { ca: tls.ca } }),
  });
  await client.connect();
  return new NetconduitClient(client, recycles ? recycle : null);
}

/** @param recycles as for `startServer` */
export function netconduitPeer(facts: Pick<Peer, "name" | "title" | "usage"> & Partial<Peer>, recycles: boolean): Peer {
  return {
    documentation: "../docs/guide.md",
    runtimes: { server: ["node", "bun", "deno"], client: ["node", "bun", "deno"] },
    mixed: true,
    lacks: {},
    missing: async () => null,
    version: async () => packageVersion("@netconduit/node"),
    startServer: (options) => startServer(options, recycles),
    connect: (target, options) => connect(target, options, recycles),
    ...facts,
  };
}

export const peer: Peer = netconduitPeer(
  {
    name: "netconduit",
    title: "netconduit",
    usage:
      "`@netconduit/node`, `bun` or `deno` as built, with its defaults: SCRAM login, a schema for the parameters, " +
      "deadlines, heartbeats, limits. Connection and message limits are raised where a scenario needs more. Binary data " +
      "that was looked at is given back by `recycle`.",
  },
  true,
);
