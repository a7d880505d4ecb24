import * as v from "valibot";
import { expect, test } from "vitest";
import type { Client } from "../client/client.ts";
import { ErrorCode } from "../errors.ts";
import type { Server } from "../server/server.ts";
import { ADA, BOB, clusterScene, firstIdOf, three } from "../test-support/cluster-scene.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { testClient, testServer } from "../test-support/peers.ts";
import { rawClient } from "../test-support/raw-memory.ts";
import { taken } from "../test-support/topic-scene.ts";
import type { ClusterLoss } from "./cluster.ts";

function news(server: Server): void {
  server.topic("news", { publish: true });
}

function bytesOf({ stats }: Client): number {
  return stats?.bytesReceived ?? 0;
}

test("A netconduit client receives messages published on another node", async () => {
  const all = clusterScene();
  const [a, b] = await three(all, { allowPasswordHash: true }, news);
  const peer = await rawClient(all.runtime, b.port, { extensions: null, passwordHash: true });
  await all.runtime.advance(100);
  peer.call("stream_subscribe", { stream_name: "news" }, 1);
  await peer.next(0x0003);
  await (await a.join()).publish("news", { text: "hello" });
  const frames = await peer.received();
  const [message] = frames.filter(({ payload }) => payload?.["type"] === "stream_data");
  expect(message?.payload?.["data"]).toMatchObject({ stream: "news", data: { text: "hello" } });
});

test("Broadcasts and publishes from another node are compressed only for clients that agreed on compression", async () => {
  const all = clusterScene();
  const [a, b] = await three(all, { enableCompression: true }, news);
  const [packed, plain] = [await b.join({ enableCompression: true }), await b.join()];
  const heard: unknown[] = [];
  for (const client of [packed, plain]) client.on("note", (data) => heard.push(data));
  const subscriptions = [packed.subscribe("news"), plain.subscribe("news")];
  for (const { ready } of subscriptions) await ready;
  const text = "hello ".repeat(5000);
  const bytesBefore = [bytesOf(packed), bytesOf(plain)];
  a.server.broadcast("note", text);
  await (await a.join()).publish("news", text);
  await all.runtime.settle();
  expect(heard).toEqual([text, text]);
  for (const subscription of subscriptions) expect(await taken(subscription)).toEqual([text]);
  const [forPacked, forPlain] = [packed, plain].map((client, index) => bytesOf(client) - (bytesBefore[index] ?? 0));
  expect(forPacked).toBeLessThan(text.length);
  expect(forPlain).toBeGreaterThan(2 * text.length);
});

test("A publish to selected subscribers reaches those on other nodes and isn't counted as a gap by the others", async () => {
  const all = clusterScene();
  const [a, b] = await three(all);
  const topics = [a, b].map(({ server }) => server.topic<"news">("news"));
  const [one, two] = [await b.join(), await b.join()];
  const subscriptions = [one.subscribe("news"), two.subscribe("news")];
  for (const { ready } of subscriptions) await ready;
  topics[0]?.publish("all");
  topics[0]?.publish("first", { include: firstIdOf(b) });
  topics[0]?.publish("others", { exclude: firstIdOf(b) });
  topics[0]?.publish("end");
  await all.runtime.settle();
  const [first, second] = subscriptions.map((subscription) => taken(subscription));
  expect(await first).toEqual(["all", "first", "end"]);
  expect(await second).toEqual(["all", "others", "end"]);
  expect(b.server.cluster?.stats.lostReceived).toBe(0);
});

test("A full link rejects messages, which is counted and reported, and local clients still receive them", async () => {
  const all = clusterScene();
  const [a, b] = await three(all);
  const losses: ClusterLoss[] = [];
  a.server.cluster?.onLoss((loss) => losses.push(loss));
  const heard: unknown[] = [];
  for (const node of [a, b]) (await node.join()).on("note", (data) => heard.push(data));
  all.cluster.refuseNext(2);
  a.server.broadcast("note", 1);
  expect(() => a.server.send(firstIdOf(b), "note", 2)).toThrow(
    expect.objectContaining({ code: ErrorCode.CLUSTER_UNAVAILABLE }),
  );
  a.server.broadcast("note", 3);
  await all.runtime.settle();
  expect(heard.sort()).toEqual([1, 3, 3]);
  expect(losses).toEqual([{ direction: "sent", count: 1, reason: "full" }]);
  expect(a.server.cluster?.stats.refused).toBe(2);
});

test("A slow link keeps the order of one node's messages of all kinds", async () => {
  const all = clusterScene({ delayMs: 200 }, { heartbeatMs: 1000, nodeTimeoutMs: 5000 });
  const [a, b] = await three(all, {}, news);
  await all.runtime.advance(1500);
  const client = await b.join(ADA);
  const heard: unknown[] = [];
  client.on("note", (data) => heard.push(data));
  await all.runtime.advance(500);
  a.server.broadcast("note", 1);
  a.server.send({ user: "ada" }, "note", 2);
  all.cluster.delayMs = 0;
  a.server.send(firstIdOf(b), "note", 3);
  a.server.broadcast("note", 4, { where: { role: "admin" } });
  await all.runtime.advance(500);
  expect(heard).toEqual([1, 2, 3, 4]);
});

test("Subscribers are notified of losses reported by a driver, and presence is corrected", async () => {
  const all = clusterScene();
  const [a, b] = await three(all, {}, (server) => {
    server.topic("lobby", { presence: true });
  });
  const subscription = (await a.join()).subscribe("lobby");
  await subscription.ready;
  all.cluster.dropNext(1000);
  await (await b.join()).subscribe("lobby").ready;
  await all.runtime.advance(300);
  all.cluster.dropNext(0);
  expect(subscription.presence?.clients.length).toBe(1);
  all.cluster.reportLost("a", "received", 0);
  await all.runtime.advance(300);
  expect(subscription.presence?.clients.length).toBe(2);
  all.cluster.reportLost("b", "sent", 3);
  expect(b.server.cluster?.stats.lostSent).toBe(3);
});

test("A stream to a client that isn't connected to any node fails with CONNECTION_CLOSED", async () => {
  const [a] = await three(clusterScene());
  await expect(a.server.peer("nobody").stream("lines", {}).next()).rejects.toMatchObject({
    code: ErrorCode.CONNECTION_CLOSED,
  });
});

test("Without a cluster the same calls work on a single server", async () => {
  const runtime = fakeRuntime();
  const { server } = await testServer(runtime, { users: { ada: { password: "a", roles: ["admin"] } } });
  const { client } = testClient(runtime, ADA);
  await client.connect();
  await testClient(runtime).client.connect();
  const heard: unknown[] = [];
  client.on("note", (data) => heard.push(data));
  client.rpc("double", ({ n }) => 2 * Number(n));
  const [connection] = server.connections.filter(({ user }) => user.name === "ada");
  const id = connection?.id ?? "";
  expect(server.cluster).toBeNull();
  expect(server.send({ user: "ada" }, "note", 1)).toBe(1);
  expect(server.send(id, "note", 2)).toBe(1);
  expect(server.broadcast("note", 3, { where: { role: "admin" } })).toBe(1);
  expect(await server.peer(id).call("double", { n: 21 })).toBe(42);
  await runtime.settle();
  expect(heard).toEqual([1, 2, 3]);
  expect(await server.count()).toEqual({ count: 2, missing: [], isAlone: false });
  const first = await server.listConnections({ limit: 1 });
  const second = await server.listConnections({ limit: 1, after: first.next });
  expect(new Set([...first.connections, ...second.connections].map((one) => one.id)).size).toBe(2);
  expect(() => server.send("nobody", "note")).toThrow(expect.objectContaining({ code: ErrorCode.CONNECTION_CLOSED }));
  expect(() => server.broadcast("note", 1, { where: { planet: "x" } as never })).toThrow(
    expect.objectContaining({ code: ErrorCode.INVALID_CONFIG }),
  );
  expect(await server.revoke("ada")).toMatchObject({ connections: 1 });
});

/** Bob is neither a device nor an admin. `heard` records what he receives nevertheless. */
async function bobOfNoKind() {
  const all = clusterScene();
  const contract = {
    client: {},
    clients: { device: { methods: { record: {} } }, admin: { messages: { alarm: v.string() } } },
  };
  const [a, b] = await three(all, { contract });
  const client = await b.join(BOB);
  const heard: unknown[] = [];
  client.on("alarm", (data) => heard.push(data));
  client.rpc("record", () => heard.push("record"));
  return { all, a, b, heard };
}

test("The client's node rejects calls and messages for another kind of client, and reports the message", async () => {
  const { all, a, b, heard } = await bobOfNoKind();
  const reported: unknown[] = [];
  b.server.onError((error, { stage }) => reported.push([stage, (error as { code?: number }).code]));
  const call = a.server.peer(firstIdOf(b)).call("record", {});
  await expect(call).rejects.toMatchObject({ code: ErrorCode.PEER_UNSUPPORTED });
  a.server.send(firstIdOf(b), "alarm", "fire");
  a.server.send({ user: "bob" }, "alarm", "fire");
  await all.runtime.settle();
  expect(heard).toEqual([]);
  expect(reported).toEqual([["cluster", ErrorCode.PEER_UNSUPPORTED]]);
});

test("The client's node rejects calls with once and messages with ack for another kind of client", async () => {
  const { a, b, heard } = await bobOfNoKind();
  const peer = a.server.peer(firstIdOf(b));
  const refusal = { code: ErrorCode.PEER_UNSUPPORTED };
  await expect(peer.call("record", {}, { once: "record-1" })).rejects.toMatchObject(refusal);
  await expect(peer.send("alarm", "fire", { ack: { once: "alarm-1" } })).rejects.toMatchObject(refusal);
  expect(heard).toEqual([]);
});

test("Presence that exceeds a small maxMessageBytes is reported without affecting the link or other topics", async () => {
  const all = clusterScene({}, { heartbeatMs: 100, nodeTimeoutMs: 300 });
  const errors: { readonly code?: number }[] = [];
  const [a, b] = await three(all, { maxMessageBytes: 1024 }, (server) => {
    server.onError((error) => errors.push(error as { readonly code?: number }));
    for (const name of ["small", "large"]) server.topic(name, { presence: true });
  });
  const clients: Client[] = [];
  for (let n = 0; n < 40; n += 1) clients.push(await b.join());
  const watcher = await a.join();
  const [small] = ["small", "large"].map((name) => watcher.subscribe(name, { presence: true }));
  await all.runtime.advance(100);
  // All are in one presence change.
  for (const client of clients) client.subscribe("large");
  clients[0]?.subscribe("small");
  await all.runtime.advance(1000);
  expect(errors.every(({ code }) => code === ErrorCode.MESSAGE_TOO_LARGE)).toBe(true);
  expect(small?.presence?.clients.length).toBe(2);
  // Changes made without a link are sent when it is restored.
  all.cluster.cut("b");
  await clients[1]?.disconnect();
  await all.runtime.advance(50);
  const before = errors.length;
  all.cluster.heal("b");
  await all.runtime.advance(1000);
  expect(errors.length).toBeGreaterThan(before);
  expect(b.server.cluster?.state).toBe("connected");
  expect(a.server.cluster?.nodes.length).toBe(3);
});

test("A message for a connection that has just ended counts as lost on its node, whose report names the sender", async () => {
  const all = clusterScene();
  const [a, b] = await three(all);
  const client = await b.join();
  const id = firstIdOf(b);
  const losses: ClusterLoss[] = [];
  b.server.cluster?.onLoss((loss) => losses.push(loss));
  await client.disconnect();
  expect(a.server.send(id, "note", 1)).toBe(0);
  a.server.peer(id).callNoWait("note", {});
  await all.runtime.settle();
  expect(losses).toEqual([{ direction: "received", count: 1, reason: "no-connection", node: "a" }]);
  expect(b.server.cluster?.stats.lostReceived).toBe(2);
});
