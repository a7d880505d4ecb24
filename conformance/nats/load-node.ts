/**
 * A node under load, in a process of its own: a server, a client of it that reads two topics, `orders`, which is durable, and
 * `chat`, which isn't, and writers of both. Prints a line of JSON for each thing that happens; see `LoadLine`.
 *
 * Standard input takes commands, one a line: `write`, `stop`, and `mark`, which publishes to `chat` once more.
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
  // A pipe takes it at once: what was printed stays when the process is killed.
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
// A node that stood still has more for its client in one turn than a send queue holds.
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

/** Follows a topic from where it is now. */
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
/** Messages that were published while the link was down. */
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

/** Appends one after the other, each until it is stored. */
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
