import { expect, test } from "vitest";
import type { Client, ClientInit } from "../client/client.ts";
import type { Subscription } from "../client/topics/subscription.ts";
import { ErrorCode } from "../errors.ts";
import type { Server } from "../server/server.ts";
import {
  ADA,
  BOB,
  firstIdOf,
  idsOf,
  clusterScene as scene,
  type TestNode,
  three,
} from "../test-support/cluster-scene.ts";
import { outcome } from "../test-support/peers.ts";
import { taken } from "../test-support/topic-scene.ts";
import type { ClusterLoss } from "./cluster.ts";

test("Nodes join the cluster when they start and leave it when they stop", async () => {
  const all = scene();
  const [a, b, c] = await three(all);
  expect(idsOf(a)).toEqual(["a", "b", "c"]);
  expect(idsOf(c).sort()).toEqual(["a", "b", "c"]);
  expect(a.server.cluster?.state).toBe("connected");
  await b.server.stop();
  await all.runtime.settle();
  expect(idsOf(a)).toEqual(["a", "c"]);
  expect(b.server.cluster?.state).toBe("disconnected");
});

test("A node without heartbeats leaves after nodeTimeoutMs and joins again with its next heartbeat", async () => {
  const all = scene({}, { heartbeatMs: 100, nodeTimeoutMs: 300 });
  const [a] = await three(all);
  const events: string[] = [];
  a.server.cluster?.onNodeLeft(({ id }, why) => events.push(`${id} ${why}`));
  a.server.cluster?.onNodeJoined(({ id }) => events.push(`${id} joined`));
  all.cluster.partition(["a", "b"], ["c"]);
  await all.runtime.advance(250);
  expect(events).toEqual([]);
  await all.runtime.advance(250);
  expect(events).toEqual(["c timeout"]);
  all.cluster.partition();
  await all.runtime.advance(150);
  expect(events).toEqual(["c timeout", "c joined"]);
});

test("A broadcast reaches the clients of all nodes and is encoded once", async () => {
  const all = scene();
  const [a, b, c] = await three(all);
  const heard: string[] = [];
  for (const { id, join } of [a, b, c])
    (await join()).on("news", (data) => heard.push(`${id} ${JSON.stringify(data)}`));
  let reads = 0;
  const data = {
    get n(): number {
      reads += 1;
      return 1;
    },
  };
  expect(a.server.broadcast("other", data, { local: true })).toBe(1);
  const readsOnce = reads;
  expect(a.server.broadcast("news", data)).toBe(1);
  await all.runtime.settle();
  expect(reads).toBe(2 * readsOnce);
  expect(heard.sort()).toEqual(['a {"n":1}', 'b {"n":1}', 'c {"n":1}']);
});

test("A broadcast is filtered by user, role, topic and ids on all nodes", async () => {
  const all = scene();
  const [a, b] = await three(all, {}, (server) => {
    server.topic("lobby");
  });
  const heard: string[] = [];
  const join = async (node: TestNode, who: string, options: Partial<ClientInit>): Promise<Client> => {
    const client = await node.join(options);
    client.on("news", (data) => heard.push(`${who} ${data}`));
    return client;
  };
  await join(a, "ada@a", ADA);
  const bob = await join(b, "bob@b", BOB);
  await join(b, "ada@b", ADA);
  await bob.subscribe("lobby").ready;
  const told = async (data: string, options: Parameters<Server["broadcast"]>[2]): Promise<string[]> => {
    heard.length = 0;
    a.server.broadcast("news", data, options);
    await all.runtime.settle();
    return heard.sort();
  };
  expect(await told("1", { where: { user: "ada" } })).toEqual(["ada@a 1", "ada@b 1"]);
  expect(await told("2", { where: { role: "admin" } })).toEqual(["ada@a 2", "ada@b 2"]);
  expect(await told("3", { where: { topic: "lobby" } })).toEqual(["bob@b 3"]);
  expect(await told("4", { where: { topic: "lobby", user: "ada" } })).toEqual([]);
  expect(await told("5", { local: true })).toEqual(["ada@a 5"]);
  expect(await told("6", { where: ({ user }) => user.name === "ada", local: true })).toEqual(["ada@a 6"]);
  const { connections } = await a.server.listConnections({ where: { user: "bob" } });
  const id = connections[0]?.id ?? "";
  expect(await told("7", { include: id })).toEqual(["bob@b 7"]);
  expect(await told("8", { exclude: id })).toEqual(["ada@a 8", "ada@b 8"]);
});

test("A predicate needs local: true in a cluster", async () => {
  const all = scene();
  const { server } = await all.node("a");
  expect(() => server.broadcast("news", 1, { where: () => true })).toThrow(
    expect.objectContaining({ code: ErrorCode.INVALID_CONFIG }),
  );
});

test("A message for a connection or a user reaches it on any node", async () => {
  const all = scene();
  const [a, b] = await three(all);
  const heard: unknown[] = [];
  const client = await b.join(ADA);
  client.on("note", (data) => heard.push(data));
  const id = firstIdOf(b);
  expect(a.server.send(id, "note", 1)).toBe(0);
  expect(a.server.send({ user: "ada" }, "note", 2)).toBe(0);
  expect(b.server.send({ user: "ada" }, "note", 3)).toBe(1);
  expect(a.server.send({ user: "nobody" }, "note", 4)).toBe(0);
  await all.runtime.settle();
  expect(heard.sort()).toEqual([1, 2, 3]);
});

test("A node without connections of a user receives none of the user's messages", async () => {
  const all = scene();
  const [a, b] = await three(all);
  await b.join(ADA);
  await all.runtime.settle();
  const before = all.cluster.received.get("c");
  a.server.send({ user: "ada" }, "note", 1);
  await all.runtime.settle();
  expect(all.cluster.received.get("c")).toBe(before);
});

test("A broadcast to a topic's subscribers isn't sent to nodes without subscribers", async () => {
  const all = scene();
  const [a, b] = await three(all, {}, (server) => {
    server.topic("news");
  });
  const client = await b.join();
  const heard: unknown[] = [];
  client.on("note", (data) => void heard.push(data));
  await client.subscribe("news").ready;
  await all.runtime.settle();
  const before = all.cluster.received.get("c");
  a.server.broadcast("note", 1, { where: { topic: "news" } });
  await all.runtime.settle();
  expect([heard, all.cluster.received.get("c")]).toEqual([[1], before]);
});

test("A connection on another node can be called by its id, with errors, metadata, timeout and cancellation", async () => {
  const all = scene();
  const [a, b] = await three(all);
  const client = await b.join();
  const signals: AbortSignal[] = [];
  client.rpc("double", ({ n }, { meta }) => ({ n: 2 * Number(n), trace: meta["trace"] }));
  client.rpc("fail", () => Promise.reject(Object.assign(new Error("no"), {})));
  client.rpc("wait", (_params, { signal }) => {
    signals.push(signal);
    return new Promise(() => undefined);
  });
  client.on("greet", (name) => `hello ${name}`);
  const id = firstIdOf(b);
  const peer = a.server.peer(id);
  expect(peer.isLocal).toBe(false);
  expect(await peer.call("double", { n: 21 }, { meta: { trace: "t1" } })).toEqual({ n: 42, trace: "t1" });
  expect(await peer.request("greet", "Ada")).toBe("hello Ada");
  await peer.send("greet", "Bob", { ack: true });
  await expect(peer.call("fail", {})).rejects.toMatchObject({ code: ErrorCode.INTERNAL, name: "RpcError [INTERNAL]" });
  await expect(peer.call("missing", {})).rejects.toMatchObject({ code: ErrorCode.METHOD_NOT_FOUND });
  const controller = new AbortController();
  const cancelled = outcome(peer.call("wait", {}, { signal: controller.signal }));
  await all.runtime.settle();
  controller.abort();
  await all.runtime.settle();
  expect(cancelled.error?.code).toBe(ErrorCode.CANCELLED);
  expect(signals[0]?.aborted).toBe(true);
  const late = outcome(peer.call("wait", {}, { timeoutMs: 100 }));
  await all.runtime.advance(200);
  expect(late.error?.code).toBe(ErrorCode.TIMEOUT);
});

test("A call to a connection fails immediately when its node leaves or no node has the connection", async () => {
  const all = scene({}, { heartbeatMs: 100, nodeTimeoutMs: 300 });
  const [a, b] = await three(all);
  const client = await b.join();
  client.rpc("wait", () => new Promise(() => undefined));
  const id = firstIdOf(b);
  const call = outcome(a.server.peer(id).call("wait", {}, { timeoutMs: 60_000 }));
  await all.runtime.settle();
  all.cluster.partition(["a", "c"], ["b"]);
  await all.runtime.advance(500);
  expect(call.error?.code).toBe(ErrorCode.NODE_UNAVAILABLE);
  // For a minute, the client may still be connected to a node that is only cut off.
  for (const code of [ErrorCode.NODE_UNAVAILABLE, ErrorCode.CONNECTION_CLOSED]) {
    await expect(a.server.peer(id).call("wait", {})).rejects.toMatchObject({ code });
    expect(() => a.server.send(id, "x")).toThrow(expect.objectContaining({ code }));
    await all.runtime.advance(12 * 300);
  }
});

test("Counts and lists contain the ids of nodes that didn't answer", async () => {
  const all = scene({}, { heartbeatMs: 10_000, nodeTimeoutMs: 60_000, answerTimeoutMs: 200 });
  const [a, b, c] = await three(all);
  await a.join(ADA);
  await b.join(ADA);
  await b.join(BOB);
  await c.join(BOB);
  expect(await a.server.count()).toEqual({ count: 4, missing: [], isAlone: false });
  expect(await a.server.count({ where: { user: "bob" } })).toMatchObject({ count: 2 });
  expect(await a.server.count({ where: { role: "admin" } })).toMatchObject({ count: 2 });
  all.cluster.partition(["a", "b"], ["c"]);
  const count = outcome(a.server.count());
  await all.runtime.advance(300);
  expect(count.value).toEqual({ count: 3, missing: ["c"], isAlone: false });
});

test("Connections of all nodes are listed page by page", async () => {
  const all = scene();
  const [a, b, c] = await three(all);
  for (const node of [a, b, c]) for (let n = 0; n < 3; n += 1) await node.join(ADA);
  const seen: string[] = [];
  let after: string | null = null;
  let pages = 0;
  do {
    const page = await b.server.listConnections({ limit: 2, after });
    seen.push(...page.connections.map(({ node, id }) => `${node} ${id}`));
    after = page.next;
    pages += 1;
  } while (after !== null);
  expect(pages).toBe(5);
  expect(new Set(seen).size).toBe(9);
  expect(seen.map((text) => text.slice(0, 1)).join("")).toBe("aaabbbccc");
});

test("setUser() sets a user with roles and claims on all nodes, without sending the password", async () => {
  const all = scene();
  const [a, b] = await three(all);
  const dana = { username: "dana", password: "secret of dana" };
  const host = { nodeId: "x", clock: all.runtime, stateChanged: () => undefined, messagesLost: () => undefined };
  const sent: string[] = [];
  const listener = await all.cluster.driver().start(host);
  listener.subscribe({ kind: "all", name: "" }, (payload) => sent.push(new TextDecoder().decode(payload)));
  const set = { password: dana.password, roles: ["admin"], claims: { team: 7 } };
  expect(await a.server.setUser("dana", set)).toEqual({ missing: [], isAlone: false });
  await b.join(dana);
  expect(b.server.connections[0]?.user).toMatchObject({ name: "dana", roles: ["admin"], claims: { team: 7 } });
  expect(sent.join()).toContain("SCRAM-SHA-256");
  expect(sent.join()).not.toContain(dana.password);
});

test.each([
  ["can't be encoded", { secret: Symbol("s") }, ErrorCode.UNSERIALIZABLE],
  ["are larger than the link takes", { text: "x".repeat(2000) }, ErrorCode.MESSAGE_TOO_LARGE],
])("A user whose claims %s isn't set on any node", async (_what, claims, code) => {
  const all = scene({ maxPayloadBytes: 2048 });
  const [a] = await three(all);
  await expect(a.server.setUser("ada", { password: "new", claims })).rejects.toMatchObject({ code });
  await a.join(ADA);
});

test("A user isn't set on a node without users, and the result names this node", async () => {
  const all = scene();
  const a = await all.node("a");
  await all.node("b", { users: undefined, password: "of all" });
  await all.runtime.settle();
  expect(await a.server.setUser("ada", { password: "new" })).toEqual({ missing: ["b"], isAlone: false });
});

test("A user change made by a node before it has discovered the others reaches them", async () => {
  const all = scene({ delayMs: 50 });
  const b = await all.node("b");
  const a = await all.node("a");
  expect(idsOf(a)).toEqual(["a"]);
  await a.server.setUser("dana", { password: "new" });
  await all.runtime.advance(100);
  await b.join({ username: "dana", password: "new" });
});

test("A revoked user is disconnected from all nodes", async () => {
  const all = scene();
  const [a, b, c] = await three(all);
  const reasons: (number | undefined)[] = [];
  for (const node of [a, b, c]) (await node.join(ADA)).onDisconnect((_client, { code }) => reasons.push(code));
  const bob = await c.join(BOB);
  expect(await a.server.revoke("ada")).toEqual({ connections: 3, missing: [], isAlone: false });
  await all.runtime.settle();
  expect(reasons).toEqual([ErrorCode.IDENTITY_REVOKED, ErrorCode.IDENTITY_REVOKED, ErrorCode.IDENTITY_REVOKED]);
  expect(bob.isConnected).toBe(true);
  const again = outcome(b.join(ADA));
  await all.runtime.advance(5000);
  expect(again.error?.code).toBe(ErrorCode.AUTH_FAILED);
});

test("A topic's messages reach subscribers on all nodes once, in each publisher's order", async () => {
  const all = scene();
  const [a, b, c] = await three(all, {}, (server) => {
    server.topic("numbers", { publish: true });
  });
  const subscriptions: Subscription<string>[] = [];
  for (const node of [a, b, c]) {
    const subscription = (await node.join()).subscribe<string>("numbers");
    await subscription.ready;
    subscriptions.push(subscription);
  }
  const publisher = await b.join();
  for (let n = 0; n < 50; n += 1) {
    await publisher.publish("numbers", `b${n}`);
  }
  await all.runtime.settle();
  for (const subscription of subscriptions) {
    const items = await taken(subscription);
    expect(items).toEqual(Array.from({ length: 50 }, (_, n) => `b${n}`));
  }
});

test("A node receives a topic only while it has subscribers, by one subscription for all of them", async () => {
  const all = scene();
  const [a, b, c] = await three(all, {}, (server) => {
    server.topics("room:*", { authorize: () => true, publish: true });
  });
  const one = (await b.join()).subscribe("room:1");
  await one.ready;
  const two = (await b.join()).subscribe("room:1");
  await two.ready;
  expect(b.server.cluster?.stats.topics).toBe(1);
  expect(c.server.cluster?.stats.topics).toBe(0);
  const publisher = await a.join();
  const before = { b: all.cluster.received.get("b") ?? 0, c: all.cluster.received.get("c") ?? 0 };
  await publisher.publish("room:1", "x");
  await all.runtime.settle();
  expect(await taken(one)).toEqual(["x"]);
  expect(all.cluster.received.get("b")).toBe(before.b + 1);
  expect(all.cluster.received.get("c")).toBe(before.c);
  one.close();
  two.close();
  await all.runtime.settle();
  expect(b.server.cluster?.stats.topics).toBe(0);
});

test("A client that subscribes repeatedly doesn't make other nodes send their members each time", async () => {
  const all = scene();
  const [a, b] = await three(all, {}, (server) => {
    server.topic("lobby", { presence: true });
  });
  for (let n = 0; n < 3; n += 1) await (await b.join()).subscribe("lobby").ready;
  const churning = await a.join();
  await all.runtime.advance(2000);
  const before = all.cluster.received.get("a") ?? 0;
  for (let n = 0; n < 50; n += 1) {
    const subscription = churning.subscribe("lobby");
    await subscription.ready;
    subscription.close();
    await all.runtime.settle();
  }
  expect((all.cluster.received.get("a") ?? 0) - before).toBeLessThan(5);
  const last = churning.subscribe("lobby");
  await all.runtime.advance(1500);
  expect(last.presence?.size).toBe(4);
});

test("Presence contains the subscribers of all nodes until their node leaves", async () => {
  const all = scene({}, { heartbeatMs: 100, nodeTimeoutMs: 300 });
  const [a, b, c] = await three(all, {}, (server) => {
    server.topic("lobby", { presence: true, authorize: ({ user }) => ({ user: user.name }) });
  });
  const subscription = (await a.join(ADA)).subscribe("lobby");
  await subscription.ready;
  await (await b.join(BOB)).subscribe("lobby").ready;
  await all.runtime.advance(500);
  const users = (): string[] => (subscription.presence?.clients ?? []).map(({ user }) => user ?? "").sort();
  expect(users()).toEqual(["ada", "bob"]);
  await (await c.join(ADA)).subscribe("lobby").ready;
  await all.runtime.advance(500);
  expect(users()).toEqual(["ada", "ada", "bob"]);
  all.cluster.partition(["a", "b"], ["c"]);
  await all.runtime.advance(800);
  expect(users()).toEqual(["ada", "bob"]);
  all.cluster.partition();
  await all.runtime.advance(800);
  expect(users()).toEqual(["ada", "ada", "bob"]);
  await b.server.stop();
  await all.runtime.advance(500);
  expect(users()).toEqual(["ada", "ada"]);
});

test("A node continues to work locally after losing its link, and losses are counted and reported", async () => {
  const all = scene();
  const [a, b] = await three(all, {}, (server) => {
    server.topic("numbers");
  });
  const states: string[] = [];
  const losses: ClusterLoss[] = [];
  a.server.cluster?.onStateChange(({ to }) => states.push(to));
  a.server.cluster?.onLoss((loss) => losses.push(loss));
  const heard: unknown[] = [];
  (await a.join()).on("news", (data) => heard.push(data));
  const far = (await b.join()).subscribe("numbers");
  await far.ready;
  all.cluster.cut("a");
  expect(a.server.broadcast("news", 1)).toBe(1);
  await all.runtime.settle();
  expect(heard).toEqual([1]);
  expect(a.server.cluster?.state).toBe("reconnecting");
  expect(a.server.cluster?.stats.refused).toBe(1);
  expect(losses).toEqual([{ direction: "sent", count: 1, reason: "disconnected" }]);
  await expect(a.server.count()).resolves.toMatchObject({ count: 1, isAlone: true });
  all.cluster.heal("a");
  await all.runtime.settle();
  expect(states).toEqual(["reconnecting", "connected"]);
  a.server.broadcast("news", 2);
  await all.runtime.settle();
  expect(heard).toEqual([1, 2]);
});

test("A subscriber is notified of possibly missed messages after its node's link was lost", async () => {
  const all = scene();
  const [a, b] = await three(all, {}, (server) => {
    server.topic("numbers", { publish: true, history: { messages: 10 } });
  });
  const client = await a.join();
  const subscription = client.subscribe<number>("numbers");
  await subscription.ready;
  const publisher = await b.join();
  await publisher.publish("numbers", 1);
  await all.runtime.settle();
  const { position } = subscription;
  all.cluster.cut("a");
  await publisher.publish("numbers", 2);
  all.cluster.heal("a");
  await all.runtime.settle();
  await publisher.publish("numbers", 3);
  await all.runtime.settle();
  expect(await taken(subscription)).toEqual([1, 3]);
  expect(subscription.recovered).toBe(false);
  const returning = client.subscribe<number>("numbers", { since: position ?? "" });
  await returning.ready;
  expect(returning.recovered).toBe(false);
});

test("A message lost between nodes is detected with the same publisher's next message", async () => {
  const all = scene();
  const [a, b] = await three(all, {}, (server) => {
    server.topic("numbers", { publish: true });
  });
  const losses: ClusterLoss[] = [];
  a.server.cluster?.onLoss((loss) => losses.push(loss));
  const subscription = (await a.join()).subscribe<number>("numbers");
  await subscription.ready;
  const publisher = await b.join();
  await publisher.publish("numbers", 1);
  await all.runtime.settle();
  all.cluster.dropNext(1);
  await publisher.publish("numbers", 2);
  await publisher.publish("numbers", 3);
  await all.runtime.settle();
  expect(await taken(subscription)).toEqual([1, 3]);
  expect(a.server.cluster?.stats.lostReceived).toBe(1);
  expect(losses).toEqual([{ direction: "received", count: 1, reason: "gap", node: "b", topic: "numbers" }]);
});

test("Members of a killed node don't remain after it restarts", async () => {
  const all = scene({}, { heartbeatMs: 100, nodeTimeoutMs: 100_000 });
  const prepare = (server: Server): void => {
    server.topic("lobby", { presence: true });
  };
  const a = await all.node("a", {}, prepare);
  const b = await all.node("b", {}, prepare);
  const left: string[] = [];
  a.server.cluster?.onNodeLeft(({ id }, why) => left.push(`${id} ${why}`));
  const subscription = (await a.join()).subscribe("lobby");
  await subscription.ready;
  await (await b.join()).subscribe("lobby").ready;
  await all.runtime.advance(500);
  expect(subscription.presence?.clients.length).toBe(2);
  // Other nodes aren't notified of its end.
  all.cluster.cut("b");
  await b.server.stop({ drainMs: 0 });
  await all.runtime.advance(500);
  expect(subscription.presence?.clients.length).toBe(2);
  all.cluster.heal("b");
  await all.node("b", {}, prepare);
  await all.runtime.advance(500);
  expect(left).toEqual(["b replaced"]);
  expect(subscription.presence?.clients.length).toBe(1);
  expect(await a.server.count()).toMatchObject({ count: 1, missing: [] });
});

test("If two nodes have the same id, the older one leaves the cluster and continues alone", async () => {
  const all = scene({}, { heartbeatMs: 100, nodeTimeoutMs: 300 });
  const first = await all.node("same");
  const reasons: (number | undefined)[] = [];
  first.server.cluster?.onStateChange(({ reason }) => reasons.push(reason?.code));
  await all.runtime.advance(10);
  const second = await all.node("same");
  await all.runtime.settle();
  expect(first.server.cluster?.state).toBe("disconnected");
  expect(reasons).toEqual([ErrorCode.NODE_REPLACED]);
  expect(second.server.cluster?.state).toBe("connected");
  expect(first.server.isRunning).toBe(true);
  await first.join();
});

test("Messages that exceed the link's limit are rejected with a code before anything is sent", async () => {
  const all = scene({ maxPayloadBytes: 8192 });
  const [a, b] = await three(all, {}, (server) => {
    server.topic("big");
    server.rpc("noop", () => null);
  });
  const client = await b.join();
  client.rpc("echo", (params) => params);
  const id = firstIdOf(b);
  const heard: unknown[] = [];
  (await a.join()).on("news", (data) => heard.push(data));
  const data = "x".repeat(10_000);
  const tooLarge = expect.objectContaining({ code: ErrorCode.MESSAGE_TOO_LARGE });
  expect(() => a.server.broadcast("news", data)).toThrow(tooLarge);
  expect(() => a.server.send(id, "news", data)).toThrow(tooLarge);
  await expect(a.server.peer(id).call("echo", { data })).rejects.toMatchObject({ code: ErrorCode.MESSAGE_TOO_LARGE });
  expect(a.server.broadcast("news", data, { local: true })).toBe(1);
  await all.runtime.settle();
  expect(heard.length).toBe(1);
});

test("A server that can't listen leaves the cluster", async () => {
  const all = scene();
  const a = await all.node("a");
  await expect(all.node("b", { port: a.port })).rejects.toMatchObject({ code: ErrorCode.ADDRESS_IN_USE });
  await all.runtime.settle();
  expect(idsOf(a)).toEqual(["a"]);
});
