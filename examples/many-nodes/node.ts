/**
 * A node of a chat server that runs on several nodes, connected through NATS.
 *
 *     NODE=oslo node examples/many-nodes/node.ts
 *
 * Environment: NODE (name of the node, node), NATS_URL (nats://127.0.0.1:4222), HOST (127.0.0.1), PORT (8080),
 * PASSWORD (of all users, secret123).
 */

import { natsCluster } from "@netconduit/nats";
import { clusterStore, Server } from "@netconduit/node";
import * as v from "valibot";

const { NODE = "node", NATS_URL = "nats://127.0.0.1:4222" } = process.env;
const { HOST = "127.0.0.1", PORT = "8080", PASSWORD: password = "secret123" } = process.env;

const server = new Server({
  name: NODE,
  host: HOST,
  port: Number(PORT),
  users: { ada: { password }, bob: { password }, eve: { password } },
  cluster: natsCluster({ servers: NATS_URL, name: "chat", nodeId: NODE, heartbeatMs: 250, nodeTimeoutMs: 1500 }),
  // Shares the keys of `once` between all nodes.
  resume: { store: clusterStore() },
});

// The history is a log in NATS, with the same positions on all nodes.
server.topics("room:*", {
  schema: v.object({ from: v.string(), text: v.string() }),
  // The name shown in the presence.
  authorize: ({ user }) => ({ user: user.name }),
  publish: true,
  presence: true,
  history: { messages: 1000, durable: true },
});

server.rpc("order", v.object({ item: v.string() }), ({ item }) => {
  console.log(`executed: ${item}`);
  return `${item}, by ${NODE}`;
});

server.cluster?.onNodeJoined(({ id }) => console.log(`${id} joined`));
server.cluster?.onNodeLeft(({ id }, why) => console.log(`${id} left: ${why}`));
server.onError((error) => console.error(error.message));

await server.start();
console.log(`Listening on ${server.address.host}:${server.address.port}`);
process.once("SIGTERM", () => server.stop());
