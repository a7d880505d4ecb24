/** The processes of `nodes.ts`: `node` is a server, or nats.js that publishes without one; `clients` are the clients of either. */
import { once } from "node:events";
import { type AddressInfo, createConnection, createServer, type Socket } from "node:net";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "@nats-io/transport-node";
import { natsCluster } from "@netconduit/nats";
import { Client, Server } from "@netconduit/node";
import { answerParent } from "./lib/child.ts";
import { measureMemory } from "./lib/memory.ts";
import { NEWS_TEXT, type News } from "./lib/workload.ts";

const PASSWORD = "measured";
const TOPIC = "news";
const TOPICS_PER_PAUSE = 1000;
const CONNECTING = 64;
/** A turn of 999 messages to 1,000 subscribers took 10 s on a machine with a load of 30. */
const PATIENCE_MS = 60_000;

export interface NodeArgs {
  readonly nats: string;
  /** `alone`: a server without the option `cluster`. `direct`: nats.js publishes, without a server. */
  readonly kind: "node" | "alone" | "direct";
  /** Heartbeat interval of nodes. */
  readonly heartbeatMs?: number;
  /** Heartbeat interval of clients. */
  readonly heartbeatIntervalMs?: number;
}

export interface BurstArgs {
  /** Messages in one turn of the event loop. */
  readonly perTurn: number;
  readonly seconds: number;
  /** Number of client processes that send a signal when they have received all messages of a turn. */
  readonly signals: number;
  /** Largest number of messages. */
  readonly messages?: number;
}

export interface BurstResult {
  readonly messages: number;
  readonly seconds: number;
}

/** Receives the signals of client processes that have received everything. */
class Signals {
  #received = 0;
  #wake: (() => void) | null = null;

  async listen(): Promise<number> {
    const server = createServer((socket: Socket) => {
      socket.setNoDelay(true);
      socket.on("error", () => socket.destroy());
      socket.on("data", (chunk) => {
        this.#received += chunk.length;
        this.#wake?.();
      });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return (server.address() as AddressInfo).port;
  }

  /** Waits for `count` signals. @throws Error if none arrives in time */
  async next(count: number): Promise<void> {
    while (this.#received < count) {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error(`Not all messages arrived in ${PATIENCE_MS} ms`)), PATIENCE_MS);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#received -= count;
  }
}

const signals = new Signals();
let lastNumber = 0;

/** Publishes in turns; the next turn starts when all subscribers have received all messages of the previous one. */
async function burst(
  publish: (news: News) => void,
  { perTurn, seconds, signals: count, messages: most = Number.POSITIVE_INFINITY }: BurstArgs,
): Promise<BurstResult> {
  const startedAt = performance.now();
  let messages = 0;
  let now = startedAt;
  for (; now < startedAt + seconds * 1000 && messages < most; now = performance.now()) {
    for (let i = 0; i < perTurn; i += 1) publish({ n: ++lastNumber, text: NEWS_TEXT });
    messages += perTurn;
    await signals.next(count);
  }
  return { messages, seconds: (now - startedAt) / 1000 };
}

/** CPU time of this process so far. */
function cpuUs(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

function running<T>(value: T | null): T {
  if (value === null) throw new Error("It was not started");
  return value;
}

let server: Server | null = null;
let rooms: ReturnType<Server["topics"]> | null = null;
let publish: ((news: News) => void) | null = null;

export const node = {
  async start({ nats, kind, heartbeatMs = 1000, heartbeatIntervalMs = 30_000 }: NodeArgs) {
    const signalPort = await signals.listen();
    if (kind === "direct") {
      const connection = await connect({ servers: nats, noAsyncTraces: true });
      publish = (news) => connection.publish(TOPIC, JSON.stringify(news));
      return { port: 0, signalPort };
    }
    server = new Server({
      password: PASSWORD,
      host: "127.0.0.1",
      port: 0,
      maxConnections: 20_000,
      maxSubscriptions: 200_000,
      heartbeatIntervalMs,
      ...(kind === "alone"
        ? {}
        : {
            cluster: natsCluster({
              servers: nats,
              name: "bench",
              heartbeatMs,
              nodeTimeoutMs: Math.max(5000, 2 * heartbeatMs),
            }),
          }),
    });
    server.onError((error, { stage }) => console.error(stage, error));
    server.onSlowConsumer((_connection, event) => console.error("slow consumer", event));
    server.cluster?.onLoss((loss) => console.error("lost", loss));
    const topic = server.topic(TOPIC, { publish: true });
    publish = (news) => topic.publish(news);
    rooms = server.topics("room:*", { authorize: () => true });
    await server.start();
    return { port: server.address.port, signalPort };
  },
  nodes: (_: null) => running(server).cluster?.nodes.length ?? 1,
  burst: (args: BurstArgs) => burst(running(publish), args),
  cpuUs: (_: null) => cpuUs(),
  memory: (_: null) => measureMemory(undefined),
  stats: (_: null) => running(server).cluster?.stats ?? null,
  /** Adds the clients to topics in rotation, so that each topic has one subscriber. */
  async join({ topics }: { readonly topics: number }) {
    const { connections } = running(server);
    for (let n = 0; n < topics; n += 1) {
      const connection = connections[n % connections.length];
      if (connection === undefined) throw new Error("No client is connected");
      running(rooms).topic(`room:${n}`).add(connection);
      // Clients are notified of each topic, so wait before their send queues reach their limit.
      if (n % TOPICS_PER_PAUSE > 0) continue;
      await Promise.all(connections.map((each) => each.drained()));
      await new Promise((resolve) => setImmediate(resolve));
    }
    return null;
  },
};

export interface ConnectArgs {
  /** Ports of nodes, to which clients connect in rotation; null for NATS clients. */
  readonly ports: readonly number[] | null;
  readonly nats: string;
  readonly count: number;
}

/** Receives messages until its process ends. */
type Subscribe = (listener: (news: News) => void) => Promise<void>;

interface AnyClient {
  readonly subscribe: Subscribe;
  readonly publish: (data: object) => void;
}

async function makeClient(port: number | null, nats: string): Promise<AnyClient> {
  if (port === null) {
    const connection = await connect({ servers: nats, noAsyncTraces: true, reconnect: false });
    return {
      async subscribe(listener) {
        connection.subscribe(TOPIC, {
          callback(error, message) {
            if (error !== null) throw error;
            listener(message.json<News>());
          },
        });
        await connection.flush();
      },
      publish: (data) => connection.publish(TOPIC, JSON.stringify(data)),
    };
  }
  const client = new Client({ host: "127.0.0.1", port, password: PASSWORD, reconnect: { enabled: false } });
  await client.connect();
  return {
    async subscribe(listener) {
      const subscription = client.subscribe<News>(TOPIC);
      await subscription.ready;
      void (async () => {
        for await (const news of subscription) listener(news);
      })();
    },
    publish: (data) => void client.publish(TOPIC, data),
  };
}

const connected: AnyClient[] = [];
let deliveries = 0;
let sum = 0;

export const clients = {
  async connect({ ports, nats, count }: ConnectArgs) {
    let next = 0;
    const worker = async (): Promise<void> => {
      while (next < count) {
        const port = ports === null ? null : (ports[next++ % ports.length] as number);
        if (ports === null) next += 1;
        connected.push(await makeClient(port, nats));
      }
    };
    await Promise.all(Array.from({ length: Math.min(count, CONNECTING) }, worker));
    return null;
  },
  /** Sends a signal whenever all clients of this process have received `perTurn` messages. */
  async watch({ signalPort, perTurn }: { readonly signalPort: number; readonly perTurn: number }) {
    const socket = createConnection(signalPort, "127.0.0.1").setNoDelay(true);
    await once(socket, "connect");
    const expected = perTurn * connected.length;
    let missing = expected;
    await Promise.all(
      connected.map(({ subscribe }) =>
        subscribe(({ n }) => {
          deliveries += 1;
          sum += n;
          missing -= 1;
          if (missing > 0) return;
          missing = expected;
          socket.write("!");
        }),
      ),
    );
    return null;
  },
  take: (_: null) => {
    const taken = { deliveries, sum };
    deliveries = 0;
    sum = 0;
    return taken;
  },
  cpuUs: (_: null) => cpuUs(),
  /** Milliseconds from publish to delivery, by port and message: the first client publishes; the others, one per port, receive. */
  async latencies({
    ports,
    nats,
    count,
    everyMs,
  }: Omit<ConnectArgs, "ports"> & { readonly ports: readonly (number | null)[]; readonly everyMs: number }) {
    const [first = null] = ports;
    const sender = await makeClient(first, nats);
    const sentAt = new Float64Array(count);
    const result = ports.map(() => new Float64Array(count));
    let received = 0;
    let end = (): void => undefined;
    const all = new Promise<void>((resolve) => {
      end = resolve;
    });
    for (const [index, port] of ports.entries()) {
      const { subscribe } = await makeClient(port, nats);
      await subscribe(({ n }) => {
        (result[index] as Float64Array)[n] = performance.now() - (sentAt[n] as number);
        received += 1;
        if (received === count * ports.length) end();
      });
    }
    for (let n = 0; n < count; n += 1) {
      sentAt[n] = performance.now();
      sender.publish({ n, text: NEWS_TEXT });
      await sleep(everyMs);
    }
    await all;
    return result.map((values) => [...values]);
  },
};

const roles = { node, clients };
export type Roles = typeof roles;

const role = process.argv[2] as keyof Roles | undefined;
if (process.send !== undefined && role !== undefined) answerParent(roles[role]);
