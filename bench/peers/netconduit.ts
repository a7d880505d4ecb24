/** netconduit from the built packages with default options: SCRAM login, limits, deadlines, heartbeats. */
import { rm } from "node:fs/promises";
import { newFolder } from "../lib/bench-files.ts";
import { packageVersion } from "../lib/package-version.ts";
import type { BenchClient, BenchServer, ClientOptions, Peer, ServerOptions, StreamKind, Target } from "../lib/peer.ts";
import { currentRuntime } from "../lib/runtimes.ts";
import {
  type AddParams,
  AddSchema,
  BLOCK_BYTES,
  ITEM_TEXT,
  type Message,
  mark,
  methodName,
  type News,
  servedBytes,
} from "../lib/workload.ts";

type Netconduit = typeof import("@netconduit/node");
type Client = InstanceType<Netconduit["Client"]>;

export const PASSWORD = "measured";
const KIB = 1024;
/** Topics to join or leave between two checks of the send queues. */
const TOPICS_PER_PAUSE = 500;
const FILE_NAME = "file.bin";
const DEFAULT_MAX_MESSAGE_BYTES = 10 * KIB * KIB;

let loaded: Promise<Netconduit> | null = null;

/** The package for this process's runtime, loaded once. All three have the same types. */
export function library(): Promise<Netconduit> {
  loaded ??= import(`@netconduit/${currentRuntime()}`) as Promise<Netconduit>;
  return loaded;
}

/** `maxMessageBytes` for payloads of this size, including the envelope. */
function maxMessageBytes(maxPayloadBytes: number): number {
  return Math.max(DEFAULT_MAX_MESSAGE_BYTES, maxPayloadBytes + KIB);
}

type Server = InstanceType<Netconduit["Server"]>;

/** Options and handlers of a variant, in addition to the defaults. */
export interface Variant {
  readonly server?: Partial<import("@netconduit/node").ServerOptions>;
  readonly client?: Partial<import("@netconduit/node").ClientSettings>;
  /** Called before methods are registered. */
  readonly prepare?: (server: Server) => void;
  /** Whether the call handler returns a promise. */
  readonly isAsync?: boolean;
}

export async function startServer(options: ServerOptions, variant: Variant = {}): Promise<BenchServer> {
  const { Server } = await library();
  const server = new Server({
    password: PASSWORD,
    host: "127.0.0.1",
    port: 0,
    maxConnections: options.maxConnections,
    maxMessageBytes: maxMessageBytes(options.maxPayloadBytes),
    ...(options.tls === null ? {} : { tls: { cert: options.tls.cert, key: options.tls.key } }),
    ...variant.server,
  });
  variant.prepare?.(server);
  const add = ({ a, b }: AddParams): number => a + b;
  const handler = variant.isAsync === true ? async (params: AddParams) => add(params) : add;
  for (let index = 0; index < options.methods; index++) server.rpc(methodName(index), AddSchema, handler);
  server.on("message", (_connection, data) => data);
  server.on("upload", (_connection, bytes) => mark(bytes as Uint8Array));
  server.on("download", (_connection, length) => servedBytes(length as number));
  // A generator that awaits nothing needn't be asynchronous.
  server.stream("items", function* () {
    for (let n = 0; ; n++) yield { n, text: ITEM_TEXT };
  });
  server.stream("blocks", function* () {
    for (;;) yield servedBytes(BLOCK_BYTES);
  });
  server.stream("fresh", function* () {
    for (;;) yield new Uint8Array(BLOCK_BYTES);
  });
  server.rpc({ name: "sink", input: true }, async (_params, { input }) => {
    for await (const _block of input);
  });
  server.stream("one", async function* () {
    yield 1;
  });
  // No error is expected; the harness shows standard error when a measurement fails.
  server.onError((error, { stage }) => console.error(stage, error));
  server.onSlowConsumer((_connection, event) => console.error("slow consumer", event));
  const topic = server.topic("news");
  const rooms = server.topics("room:*", { authorize: () => true });
  const folder = newFolder();
  server.files("bench", { dir: folder, upload: true, download: true, overwrite: "replace" });
  await server.start();
  return {
    target: { host: "127.0.0.1", port: server.address.port },
    connectionCount: () => server.connectionCount,
    broadcast(news) {
      server.broadcast("news", news);
    },
    publish(news) {
      topic.publish(news);
    },
    async joinTopics(topics, members) {
      const { connections } = server;
      let next = 0;
      for (let n = 0; n < topics; n++) {
        const room = rooms.topic(`room:${n}`);
        for (let member = 0; member < members; member++) {
          room.add(connections[next] as (typeof connections)[number]);
          next = (next + 1) % connections.length;
        }
        if (n % TOPICS_PER_PAUSE === 0) await drained(connections);
      }
      await drained(connections);
    },
    async leaveTopics() {
      const { connections } = server;
      for (const [n, room] of rooms.all.entries()) {
        for (const connection of room.subscribers) room.delete(connection);
        if (n % TOPICS_PER_PAUSE === 0) await drained(connections);
      }
    },
    async close() {
      await server.stop();
      await rm(folder, { recursive: true });
    },
  };
}

/** Clients are notified of each topic, so wait before their send queues reach their limit. */
async function drained(connections: readonly { drained(): Promise<void> }[]): Promise<void> {
  await Promise.all(connections.map((connection) => connection.drained()));
  await new Promise((resolve) => setImmediate(resolve));
}

export class NetconduitClient implements BenchClient {
  readonly client: Client;

  constructor(client: Client) {
    this.client = client;
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

  async onTopic(listener: (news: News) => void): Promise<void> {
    const subscription = this.client.subscribe<News>("news");
    await subscription.ready;
    void iterate(subscription, listener);
  }

  upload(bytes: Uint8Array): Promise<number> {
    return this.client.request("upload", bytes) as Promise<number>;
  }

  async download(length: number): Promise<number> {
    return mark((await this.client.request("download", length)) as Uint8Array);
  }

  async stream(kind: StreamKind, received: (item: News | Uint8Array) => void): Promise<() => Promise<void>> {
    const stream = this.client.stream<News | Uint8Array>(kind);
    const reading = iterate(stream, received);
    return async () => {
      await stream.return?.();
      await reading;
    };
  }

  async streamUp(): Promise<() => Promise<void>> {
    let isRunning = true;
    const blocks = async function* (): AsyncGenerator<Uint8Array> {
      while (isRunning) yield servedBytes(BLOCK_BYTES);
    };
    const sending = this.client.call("sink", {}, { input: blocks() });
    return async () => {
      isRunning = false;
      await sending;
    };
  }

  async openStream(): Promise<number> {
    let item = 0;
    for await (const one of this.client.stream<number>("one")) item = one;
    return item;
  }

  async stallStream(): Promise<void> {
    await this.client.stream("fresh").next();
  }

  async sendFile(path: string): Promise<string> {
    return (await this.client.files("bench").upload(path, { name: FILE_NAME })).sha256;
  }

  async fetchFile(path: string): Promise<string> {
    return (await this.client.files("bench").download(FILE_NAME, path)).sha256;
  }

  close(): Promise<void> {
    return this.client.disconnect();
  }
}

async function iterate<T>(items: AsyncIterable<T>, listener: (item: T) => void): Promise<void> {
  for await (const item of items) listener(item);
}

export async function connect(
  { host, port }: Target,
  { tls, maxPayloadBytes }: ClientOptions,
  variant: Variant = {},
): Promise<NetconduitClient> {
  const { Client } = await library();
  const client = new Client({
    host,
    port,
    password: PASSWORD,
    maxMessageBytes: maxMessageBytes(maxPayloadBytes),
    reconnect: { enabled: false },
    ...(tls === null ? {} : { tls: { ca: tls.ca } }),
    ...variant.client,
  });
  await client.connect();
  return new NetconduitClient(client);
}

export const peer: Peer = {
  name: "netconduit",
  title: "netconduit",
  documentation: "../docs/guide.md",
  usage:
    "`@netconduit/node`, `bun` or `deno` as built, with its defaults: SCRAM login, a schema for the parameters, " +
    "deadlines, heartbeats, limits. Connection and message limits are raised where a scenario needs more.",
  runtimes: { server: ["node", "bun", "deno"], client: ["node", "bun", "deno"] },
  mixed: true,
  lacks: {},
  missing: async () => null,
  version: async () => packageVersion("@netconduit/node"),
  startServer: (options) => startServer(options),
  connect: (target, options) => connect(target, options),
};
