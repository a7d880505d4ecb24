import { expect, test } from "vitest";
import { ErrorCode, RpcError } from "../errors.ts";
import {
  ADA,
  BOB,
  type ClusterScene,
  clusterScene,
  firstIdOf,
  idsOf,
  type TestNode,
  three,
} from "../test-support/cluster-scene.ts";
import { gate } from "../test-support/gate.ts";
import { outcome } from "../test-support/peers.ts";

const LIMITS = { heartbeatMs: 100, nodeTimeoutMs: 300 };

test("A user revoked while a node is cut off is disconnected there when the node returns", async () => {
  const all = clusterScene({}, LIMITS);
  const [a, b] = await three(all);
  await b.join(BOB);
  all.cluster.partition(["a", "c"], ["b"]);
  await all.runtime.advance(1000);
  expect(await a.server.revoke("bob")).toEqual({ connections: 0, missing: ["b"], isAlone: false });
  expect(b.server.connectionCount).toBe(1);
  all.cluster.partition();
  await all.runtime.advance(500);
  expect(b.server.connectionCount).toBe(0);
  await expect(b.join(BOB)).rejects.toThrow();
});

test("A user revoked by a node that is cut off is disconnected from the others when that node returns", async () => {
  const all = clusterScene({}, LIMITS);
  const [a, b] = await three(all);
  await b.join(BOB);
  all.cluster.cut("a");
  await all.runtime.advance(1000);
  expect(await a.server.revoke("bob")).toEqual({ connections: 0, missing: ["b", "c"], isAlone: true });
  all.cluster.heal("a");
  await all.runtime.advance(500);
  expect(b.server.connectionCount).toBe(0);
});

/** Whether a node accepts this user and password. */
async function isIn(node: TestNode, username: string, password: string): Promise<boolean> {
  try {
    await node.join({ username, password, reconnect: { enabled: false } });
    return true;
  } catch (error) {
    expect(error).toMatchObject({ code: ErrorCode.AUTH_FAILED });
    return false;
  }
}

test("A user changed while a node is cut off is changed there when the node returns", async () => {
  const all = clusterScene({}, LIMITS);
  const [a, b] = await three(all);
  await b.join(BOB);
  all.cluster.partition(["a", "c"], ["b"]);
  await all.runtime.advance(1000);
  expect(await a.server.setUser("bob", { password: "old" })).toEqual({ missing: ["b"], isAlone: false });
  expect(await a.server.setUser("bob", { password: "new" })).toEqual({ missing: ["b"], isAlone: false });
  all.cluster.partition();
  await all.runtime.advance(500);
  expect([await isIn(b, "bob", "b"), await isIn(b, "bob", "old"), await isIn(b, "bob", "new")]).toEqual([
    false,
    false,
    true,
  ]);
  // The earlier connection stays open.
  expect(b.server.connectionCount).toBe(2);
});

test("A user revoked and set again while a node is cut off loses the former connections there and can log in", async () => {
  const all = clusterScene({}, LIMITS);
  const [a, b] = await three(all);
  await b.join(BOB);
  all.cluster.partition(["a", "c"], ["b"]);
  await all.runtime.advance(1000);
  await a.server.revoke("bob");
  await a.server.setUser("bob", { password: "new" });
  all.cluster.partition();
  await all.runtime.advance(500);
  expect(b.server.connectionCount).toBe(0);
  expect(await isIn(b, "bob", "new")).toBe(true);
  await all.runtime.advance(2000);
  expect(b.server.connectionCount).toBe(1);
});

test("A revocation lost on its way to a node reaches it before the user is set again", async () => {
  const all = clusterScene({}, { ...LIMITS, answerTimeoutMs: 500 });
  const [a, b] = await three(all);
  await b.join(BOB);
  // To b, then to c.
  all.cluster.dropNext(2);
  const revoked = a.server.revoke("bob");
  await all.runtime.settle();
  expect(b.server.connectionCount).toBe(1);
  expect(await a.server.setUser("bob", { password: "new" })).toEqual({ missing: [], isAlone: false });
  await all.runtime.settle();
  expect(b.server.connectionCount).toBe(0);
  await all.runtime.advance(600);
  expect((await revoked).missing).toEqual(["b", "c"]);
  expect(await isIn(b, "bob", "new")).toBe(true);
  // There is nothing left to send.
  all.cluster.partition(["a", "c"], ["b"]);
  await all.runtime.advance(1000);
  all.cluster.partition();
  await all.runtime.advance(500);
  expect(b.server.connectionCount).toBe(1);
});

test("A revocation lost on its way to a live node is sent again until it is confirmed", async () => {
  const all = clusterScene({}, { ...LIMITS, answerTimeoutMs: 200 });
  const [a, b] = await three(all);
  await b.join(BOB);
  all.cluster.dropNext(2);
  const revoked = outcome(a.server.revoke("bob"));
  await all.runtime.advance(1000);
  expect([revoked.value, b.server.connectionCount]).toMatchObject([{ missing: ["b", "c"] }, 0]);
  await b.server.setUser("bob", { password: "new" });
  await all.runtime.advance(1000);
  expect(await isIn(b, "bob", "new")).toBe(true);
});

test("A revocation that is lost again when a node returns is sent again", async () => {
  const all = clusterScene({}, { ...LIMITS, answerTimeoutMs: 200 });
  const [a, b] = await three(all);
  await b.join(BOB);
  all.cluster.partition(["a", "c"], ["b"]);
  await all.runtime.advance(1000);
  await a.server.revoke("bob");
  // The notification of b is in flight when b's link breaks.
  const stopCutting = a.server.cluster?.onNodeJoined(() => all.cluster.cut("b"));
  all.cluster.partition();
  while (b.server.cluster?.state === "connected") await all.runtime.advance(10);
  stopCutting?.();
  all.cluster.heal("b");
  await all.runtime.settle();
  expect(b.server.connectionCount).toBe(1);
  await all.runtime.advance(500);
  expect(b.server.connectionCount).toBe(0);
});

test("Changes that can't be sent when a node returns are sent when it next returns", async () => {
  const all = clusterScene({}, LIMITS);
  const [a, b] = await three(all);
  await b.join(BOB);
  const isolate = async (): Promise<void> => {
    all.cluster.partition(["a", "c"], ["b"]);
    await all.runtime.advance(1000);
  };
  await isolate();
  await a.server.revoke("bob");
  await a.server.setUser("bob", { password: "new" });
  all.cluster.partition();
  // Enough for heartbeats but not for a user.
  all.cluster.maxPayloadBytes = 150;
  await all.runtime.advance(500);
  expect(idsOf(b)).toContain("a");
  expect(await isIn(b, "bob", "new")).toBe(false);
  all.cluster.maxPayloadBytes = 1024 * 1024;
  await isolate();
  all.cluster.partition();
  await all.runtime.advance(500);
  expect(b.server.connectionCount).toBe(0);
  expect(await isIn(b, "bob", "new")).toBe(true);
});

test("A count names nodes that were lost recently, but not nodes that have stopped", async () => {
  const all = clusterScene({}, LIMITS);
  const [a, b] = await three(all);
  all.cluster.partition(["a", "b"], ["c"]);
  await b.server.stop();
  await all.runtime.advance(1000);
  expect(await a.server.count()).toEqual({ count: 0, missing: ["c"], isAlone: false });
  expect(await a.server.listConnections()).toMatchObject({ missing: ["c"] });
  await all.runtime.advance(12 * LIMITS.nodeTimeoutMs);
  expect(await a.server.count()).toEqual({ count: 0, missing: [], isAlone: false });
});

test("A message with ack to a user asks all nodes for their connections at once, and waits for the silent ones once", async () => {
  const all = clusterScene({}, { heartbeatMs: 1000, nodeTimeoutMs: 5000, answerTimeoutMs: 500 });
  const [a, b] = await three(all);
  await all.node("d");
  await all.runtime.settle();
  const client = await b.join(ADA);
  const heard: unknown[] = [];
  client.on("note", (data) => {
    heard.push(data);
  });
  all.cluster.partition(["a", "b"], ["c", "d"]);
  const sent = outcome(a.server.send({ user: "ada" }, "note", 1, { ack: true }));
  await all.runtime.advance(600);
  expect(heard).toEqual([1]);
  expect(sent.error).toMatchObject({ code: ErrorCode.NOT_DELIVERED, details: { missing: ["c", "d"] } });
});

/** Returns a value with more nesting levels than a message may have. */
function deep(): unknown {
  let value: unknown = 1;
  for (let level = 0; level < 125; level += 1) value = [value];
  return value;
}

test.each([
  ["has details that can't be encoded", { details: { deep: deep() } }, "denied"],
  ["has a message with half a surrogate", {}, "half: \ud800"],
  ["is larger than a message may be", { details: { text: "x".repeat(4000) } }, "y".repeat(200)],
])("An error of a handler for another node's call that %s arrives with its code", async (_what, options, message) => {
  const all = clusterScene();
  const [a, b] = await three(all, { maxMessageBytes: 4096 });
  const client = await b.join(ADA);
  client.rpc("fail", () => {
    throw new RpcError(2000, message, options);
  });
  const failure = outcome(a.server.peer(firstIdOf(b)).call("fail"));
  await all.runtime.settle();
  expect(failure).toMatchObject({ error: { code: 2000 } });
});

/** Starts a client of node b whose method is completed by the test, and a call to it from node a without a timeout. */
async function longCall(all: ClusterScene, beforeCall: () => void = () => undefined) {
  const [a, b] = await three(all);
  const client = await b.join();
  const held = gate();
  const run: { signal?: AbortSignal } = {};
  client.rpc("work", async (_params, { signal }) => {
    run.signal = signal;
    await held.promise;
    return "done";
  });
  const peer = a.server.peer(firstIdOf(b));
  beforeCall();
  const controller = new AbortController();
  const call = outcome(peer.call("work", {}, { timeoutMs: 0, signal: controller.signal }));
  await all.runtime.advance(10);
  return { call, held, run, giveUp: () => controller.abort() };
}

test("A call without a timeout whose answer was lost in a cut ends with NODE_UNAVAILABLE, although both nodes are live", async () => {
  const all = clusterScene({}, LIMITS);
  const { call, held } = await longCall(all);
  all.cluster.cut("b");
  held.open();
  await all.runtime.advance(50);
  all.cluster.heal("b");
  await all.runtime.advance(250);
  expect(call.state).toBe("pending");
  await all.runtime.advance(300);
  expect(call.error?.code).toBe(ErrorCode.NODE_UNAVAILABLE);
  expect(call.error?.message).toContain("it or its answer was lost between the nodes");
});

test("A lost call without a timeout ends with NODE_UNAVAILABLE", async () => {
  const all = clusterScene({}, LIMITS);
  const { call } = await longCall(all, () => all.cluster.dropNext(1));
  await all.runtime.advance(600);
  expect(call.error?.code).toBe(ErrorCode.NODE_UNAVAILABLE);
});

test("A long-running call without a timeout is answered, even after a cut", async () => {
  const all = clusterScene({}, LIMITS);
  const { call, held } = await longCall(all);
  await all.runtime.advance(2000);
  all.cluster.cut("b");
  await all.runtime.advance(50);
  all.cluster.heal("b");
  await all.runtime.advance(2000);
  held.open();
  await all.runtime.advance(10);
  expect(call).toMatchObject({ state: "resolved", value: "done" });
});

test("A method is cancelled when the caller on another node cancels, even if that message is lost", async () => {
  const all = clusterScene({}, LIMITS);
  const { call, run, giveUp } = await longCall(all);
  all.cluster.dropNext(1);
  giveUp();
  await all.runtime.advance(200);
  expect(call.error?.code).toBe(ErrorCode.CANCELLED);
  expect(run.signal?.aborted).toBe(false);
  await all.runtime.advance(300);
  expect(run.signal?.aborted).toBe(true);
});

test("Long-running methods are checked in parts and continue while their callers wait", async () => {
  const all = clusterScene({}, LIMITS);
  const [a, b] = await three(all);
  const client = await b.join();
  const held = gate();
  client.rpc("work", async () => {
    await held.promise;
    return "done";
  });
  const peer = a.server.peer(firstIdOf(b));
  const calls = Array.from({ length: 1200 }, () => outcome(peer.call("work", {}, { timeoutMs: 0 })));
  await all.runtime.advance(2000);
  held.open();
  await all.runtime.advance(10);
  expect(calls.filter(({ state }) => state === "resolved").length).toBe(1200);
});

test("Calls that were running when a node was replaced aren't checked after its next start", async () => {
  const all = clusterScene({}, LIMITS);
  const perSecond = async (): Promise<number> => {
    await all.runtime.advance(1000);
    const before = all.cluster.received.get("a") ?? 0;
    await all.runtime.advance(1000);
    return (all.cluster.received.get("a") ?? 0) - before;
  };
  const [a, b] = await three(all);
  const idle = await perSecond();
  const client = await b.join();
  client.rpc("work", () => new Promise(() => undefined));
  const call = outcome(a.server.peer(firstIdOf(b)).call("work", {}, { timeoutMs: 0 }));
  await all.runtime.advance(1000);
  const other = await all.node("b");
  await all.runtime.advance(100);
  expect([call.state, b.server.cluster?.state]).toEqual(["rejected", "disconnected"]);
  for (const { server } of [other, b]) {
    const stopped = server.stop();
    await all.runtime.advance(5000);
    await stopped;
  }
  await b.server.start();
  expect(await perSecond()).toBeLessThanOrEqual(idle);
});

test("More calls than fit in one request with a small maxMessageBytes are all checked", async () => {
  const all = clusterScene({}, LIMITS);
  const [a, b] = await three(all, { maxMessageBytes: 1024 });
  const client = await b.join();
  const held = gate();
  client.rpc("work", async () => {
    await held.promise;
    return "done";
  });
  const peer = a.server.peer(firstIdOf(b));
  const calls = Array.from({ length: 700 }, () => outcome(peer.call("work", {}, { timeoutMs: 0 })));
  await all.runtime.settle();
  all.cluster.cut("b");
  held.open();
  await all.runtime.advance(50);
  all.cluster.heal("b");
  await all.runtime.advance(1000);
  expect(calls.filter(({ error }) => error?.code === ErrorCode.NODE_UNAVAILABLE).length).toBe(700);
});

test.each([
  { first: "a", last: "b" },
  { first: "b", last: "a" },
])(
  "Of two changes by nodes that are cut off from each other, all nodes apply the last: that of $last",
  async (order) => {
    const all = clusterScene({}, LIMITS);
    const [a, b, c] = await three(all);
    const byName: Record<string, TestNode> = { a, b };
    all.cluster.partition(["a", "c"], ["b"]);
    await all.runtime.advance(1000);
    await byName[order.first]?.server.setUser("bob", { password: "first" });
    await all.runtime.advance(1000);
    await byName[order.last]?.server.setUser("bob", { password: "last" });
    all.cluster.partition();
    await all.runtime.advance(500);
    for (const node of [a, b, c]) {
      expect([await isIn(node, "bob", "first"), await isIn(node, "bob", "last")]).toEqual([false, true]);
    }
  },
);

test("A user revoked by one node and later set by another loses its connections and can log in on all nodes", async () => {
  const all = clusterScene({}, LIMITS);
  const [a, b, c] = await three(all);
  for (const node of [a, b, c]) await node.join(BOB);
  all.cluster.partition(["a", "c"], ["b"]);
  await all.runtime.advance(1000);
  await a.server.revoke("bob");
  await all.runtime.advance(1000);
  await b.server.setUser("bob", { password: "new" });
  all.cluster.partition();
  await all.runtime.advance(500);
  expect([a, b, c].map(({ server }) => server.connectionCount)).toEqual([0, 0, 0]);
  for (const node of [a, b, c]) expect(await isIn(node, "bob", "new")).toBe(true);
});

test("A user set by one node and later revoked by another can't log in on any node", async () => {
  const all = clusterScene({}, LIMITS);
  const [a, b, c] = await three(all);
  all.cluster.partition(["a", "c"], ["b"]);
  await all.runtime.advance(1000);
  await b.server.setUser("bob", { password: "new" });
  await all.runtime.advance(1000);
  await a.server.revoke("bob");
  all.cluster.partition();
  await all.runtime.advance(500);
  for (const node of [a, b, c]) {
    expect([await isIn(node, "bob", "b"), await isIn(node, "bob", "new")]).toEqual([false, false]);
  }
});

test.each([
  ["it", 1],
  ["its answer", 2],
] as const)(
  "A message with ack is sent again, and handled once, if %s is lost between the nodes",
  async (_what, lost) => {
    const all = clusterScene({}, LIMITS);
    const [a, b] = await three(all);
    const client = await b.join();
    const handled: unknown[] = [];
    client.on("note", (data) => {
      if (lost === 2 && handled.length === 0) all.cluster.dropNext(1);
      handled.push(data);
    });
    if (lost === 1) all.cluster.dropNext(1);
    const sent = outcome(a.server.peer(firstIdOf(b)).send("note", 1, { ack: true }));
    await all.runtime.advance(2000);
    expect([sent.state, handled]).toEqual(["resolved", [1]]);
  },
);

test("A message with ack and a call with once made while the link is down briefly are executed once", async () => {
  const all = clusterScene({}, LIMITS);
  const [a, b] = await three(all);
  const client = await b.join();
  const handled: unknown[] = [];
  client.on("note", (data) => handled.push(data));
  client.rpc("count", () => handled.push("call"));
  const peer = a.server.peer(firstIdOf(b));
  all.cluster.cut("a");
  const sent = outcome(peer.send("note", 1, { ack: true }));
  const called = outcome(peer.call("count", {}, { once: "key" }));
  await all.runtime.advance(200);
  expect([sent.state, called.state]).toEqual(["pending", "pending"]);
  all.cluster.heal("a");
  await all.runtime.advance(2000);
  expect([sent.state, called.state, handled.length]).toEqual(["resolved", "resolved", 2]);
});

test("Messages with ack wait while the link is down, without a limit and without using up attempts", async () => {
  const all = clusterScene({}, LIMITS);
  const [a, b] = await three(all);
  const client = await b.join();
  const handled = new Set<unknown>();
  client.on("note", (data) => void handled.add(data));
  const id = firstIdOf(b);
  all.cluster.cut("a");
  await all.runtime.settle();
  const sent = [1, 2, 3].map((n) => outcome(a.server.peer(id).send("note", n, { ack: true })));
  await all.runtime.advance(600_000);
  expect(sent.map(({ state }) => state)).toEqual(Array(3).fill("pending"));
  all.cluster.heal("a");
  await all.runtime.advance(5000);
  expect([sent.map(({ state }) => state), handled]).toEqual([Array(3).fill("resolved"), new Set([1, 2, 3])]);
});

test("Messages with ack that wait for the link end by their signal, and when the server stops", async () => {
  const all = clusterScene({}, LIMITS);
  const [a, b] = await three(all);
  await b.join();
  const peer = a.server.peer(firstIdOf(b));
  all.cluster.cut("a");
  await all.runtime.settle();
  const controller = new AbortController();
  const given = outcome(peer.send("note", 1, { ack: { signal: controller.signal } }));
  const left = outcome(peer.send("note", 2, { ack: true }));
  const called = outcome(peer.call("note", {}, { once: "key" }));
  await all.runtime.advance(1000);
  controller.abort();
  await all.runtime.settle();
  expect([given.error?.code, left.state]).toEqual([ErrorCode.CANCELLED, "pending"]);
  await a.server.stop({ drainMs: 0 });
  await all.runtime.settle();
  expect(left.error).toMatchObject({ code: ErrorCode.NOT_DELIVERED, details: { attempts: 0, started: false } });
  expect(called.error).toMatchObject({ code: ErrorCode.CLUSTER_UNAVAILABLE });
});

test("A message with ack isn't sent again after its connection has definitely ended", async () => {
  const all = clusterScene({}, LIMITS);
  const [a, b, c] = await three(all);
  const client = await b.join();
  await c.join();
  const [ended, left] = [firstIdOf(b), firstIdOf(c)];
  await all.runtime.advance(200);
  await client.disconnect();
  await c.server.stop({ drainMs: 0 });
  const servers = [
    // Its node must be queried.
    [a, ended, { attempts: 1 }],
    [b, ended, { attempts: 0, started: false }],
    [a, left, { attempts: 0, started: false }],
    [a, "nobody", { attempts: 0, started: false }],
  ] as const;
  for (const [{ server }, id, details] of servers) {
    const sent = outcome(server.peer(id).send("note", 1, { ack: true }));
    await all.runtime.settle();
    expect(sent.error).toMatchObject({ code: ErrorCode.NOT_DELIVERED, details });
    const called = outcome(server.peer(id).call("count", {}, { once: "key" }));
    await all.runtime.settle();
    expect(called.error).toMatchObject({ code: ErrorCode.CONNECTION_CLOSED });
  }
});

test("A message with ack to a node that is cut off is sent again until the node returns", async () => {
  const all = clusterScene({}, LIMITS);
  const [a, b] = await three(all);
  const client = await b.join();
  const handled: unknown[] = [];
  client.on("note", (data) => handled.push(data));
  const peer = a.server.peer(firstIdOf(b));
  all.cluster.partition(["a", "c"], ["b"]);
  await all.runtime.advance(1000);
  expect(idsOf(a)).toEqual(["a", "c"]);
  const sent = outcome(peer.send("note", 1, { ack: true }));
  await all.runtime.advance(1000);
  expect(sent.state).toBe("pending");
  all.cluster.partition();
  // The delays between attempts are random.
  await all.runtime.advance(60_000);
  expect([sent.state, handled]).toEqual(["resolved", [1]]);
});

test("A message with ack to a connection of an undiscovered node is sent again until the node is discovered", async () => {
  const all = clusterScene();
  const b = await all.node("b");
  const client = await b.join();
  const heard: unknown[] = [];
  client.on("note", (data) => void heard.push(data));
  all.cluster.delayMs = 20;
  const a = await all.node("a");
  const sent = outcome(a.server.peer(firstIdOf(b)).send("note", 1, { ack: true }));
  await all.runtime.advance(5000);
  expect([sent.state, heard]).toEqual(["resolved", [1]]);
});
