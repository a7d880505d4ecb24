/**
 * A node under load, in its own process: a server, a client that reads the durable topic `orders` and the non-durable
 * topic `chat`, and writers for both. Prints a line of JSON for each event (see `LoadLine`).
 *
 * Reads commands from standard input, one per line: `write`, `stop`, and `mark`, which publishes to `chat` once more.
 */

import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { type ConduitError, ErrorCode } from "@netconduit/core";
import { natsCluster } from "@netconduit/nats";
import { Client, Server } from "@netconduit/node";
import { HISTORY, type LoadLine, type LoadNodeOptions } from "./load-lines.ts";

const { nodeId, run, servers, replicas } = JSON.parse(process.argv[2] ?? "{}") as LoadNodeOptions;
const LANES = 3;
const password = "secret123";

function print(line: LoadLine): void {
  // Writes to pipes are synchronous, so printed lines aren't lost when the process is killed.
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const server = new Server({
  host: "127.0.0.1",
  port: 0,
  password,
  scramIterations: 4096,
  handleSignals: false,
  cluster: natsCluster({
    servers,
    name: "fleet",
    nodeId,
    replicas,
    heartbeatMs: 100,
    nodeTimeoutMs: 1500,
    pingIntervalMs: 500,
    connectTimeoutMs: 2000,
  }),
});
// After a pause, a node has more messages for its client in one turn than fit in a send queue.
const PATIENT = { slow: "drop-oldest", slowBuffer: 100_000 } as const;
const orders = server.topic<string>("orders", { history: HISTORY, ...PATIENT });
const chat = server.topic<string>("chat", PATIENT);
const cluster = server.cluster!;
cluster.onStateChange(({ to }) => print(["state", to]));
cluster.onNodeJoined(({ id }) => print(["joined", id]));
cluster.onNodeLeft(({ id }, why) => print(["left", id, why]));
server.onError((error) => print(["error", error.message]));
await server.start();

const client = new Client({ host: "127.0.0.1", port: server.address.port, password, reconnect: { enabled: false } });
client.onDisconnect((_client, { code, message }) =>
  print(["error", `the client was disconnected: ${code} ${message}`]),
);
await client.connect();

/** Subscribes to a topic from its current end. */
async function follow(topic: "orders" | "chat"): Promise<string> {
  const first = client.subscribe(topic);
  await first.ready;
  const since = first.position ?? "";
  const subscription = client.subscribe<string>(topic, { since, buffer: 1_000_000 });
  await subscription.ready;
  first.close();
  void (async () => {
    for await (const id of subscription) {
      print([topic, id, subscription.position ?? "", subscription.recovered, subscription.dropped]);
    }
  })();
  return since;
}

let isWriting = false;
let messages = 0;
/** Number of messages published while the link was down. */
let alone = 0;

function say(): void {
  messages += 1;
  if (cluster.state !== "connected") alone += 1;
  chat.publish(`${run}.${messages}`);
}

async function talk(): Promise<void> {
  while (isWriting) {
    say();
    await sleep(5);
  }
}

/** Appends messages one at a time and retries each until it is stored. */
async function order(lane: number): Promise<void> {
  for (let n = 1; isWriting; n += 1) {
    const id = `${run}-${lane}.${n}`;
    for (let isStored = false; !isStored; ) {
      try {
        print(["stored", id, await orders.append(id, { id })]);
        isStored = true;
      } catch (error) {
        if ((error as ConduitError).code !== ErrorCode.CLUSTER_UNAVAILABLE) throw error;
        await sleep(20);
      }
    }
    await sleep(5);
  }
}

let writers: Promise<unknown> = Promise.resolve();
const commands: Readonly<Record<string, () => unknown>> = {
  write() {
    isWriting = true;
    writers = Promise.all([talk(), ...Array.from({ length: LANES }, (_, lane) => order(lane))]);
  },
  async stop() {
    isWriting = false;
    await writers;
    const { refused, lostSent } = cluster.stats;
    print(["stopped", { messages, alone, refused, lostSent }]);
  },
  mark: say,
};
createInterface({ input: process.stdin }).on("line", (command) => commands[command]?.());
const position = await follow("orders");
await follow("chat");
print(["ready", position]);
