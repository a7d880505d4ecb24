import { expect, test } from "vitest";
import type { Client } from "../client/client.ts";
import { ErrorCode } from "../errors.ts";
import { Server } from "../server/server.ts";
import { ADA, clusterScene, type TestNode } from "../test-support/cluster-scene.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { outcome, testClient } from "../test-support/peers.ts";
import { clusterStore } from "./cluster-store.ts";

const resume = () => ({ store: clusterStore() });

test("A call with a key is executed once, even if it is repeated on another node", async () => {
  const all = clusterScene();
  const charged: string[] = [];
  const prepare = (server: Server): void => {
    server.rpc("charge", ({ amount }) => {
      charged.push(`${amount} by ${server.config.name}`);
      return charged.length;
    });
  };
  const a = await all.node("a", { resume: resume() }, prepare);
  const b = await all.node("b", { resume: resume() }, prepare);
  const charge = (client: Client): Promise<unknown> => client.call("charge", { amount: 5 }, { once: "order-1" });
  expect(await charge(await a.join())).toBe(1);
  expect(await charge(await b.join())).toBe(1);
  expect(charged).toEqual(["5 by a"]);
});

test("A server without the option cluster can't use a cluster store", () => {
  expect(() => new Server({ password: "secret123", port: 0, resume: resume() }, fakeRuntime())).toThrow(
    expect.objectContaining({
      code: ErrorCode.INVALID_CONFIG,
      message: "clusterStore() needs the server's option cluster",
    }),
  );
});

test("A store keeps, replaces, lists and deletes values for all nodes", async () => {
  const all = clusterScene();
  const stores = { a: clusterStore(), b: clusterStore() };
  await all.node("a", { resume: { store: stores.a } });
  await all.node("b", { resume: { store: stores.b } });
  const [one, two] = [Uint8Array.of(1), Uint8Array.of(2)];
  expect(await stores.a.create("x/1", one, 60_000)).toBe(true);
  expect(await stores.b.create("x/1", two, 60_000)).toBe(false);
  expect(await stores.b.get("x/1")).toEqual(one);
  await stores.b.put("x/1", two, 60_000);
  expect(await stores.a.get("x/1")).toEqual(two);
  await stores.a.put("x/2", one, 86_400_000);
  expect(await stores.b.keys("x/", 10)).toEqual(["x/1", "x/2"]);
  await stores.b.delete("x/2");
  expect(await stores.a.get("x/2")).toBeNull();
  await all.runtime.advance(60_000);
  expect(await stores.b.get("x/1")).toBeNull();
  expect(await stores.b.create("x/1", one, 60_000)).toBe(true);
});

/** The store keeps values with a lifetime of more than an hour separately. */
const [MINUTE_MS, LONG_MS] = [60_000, 3_660_000];

/** Creates the stores of two nodes. */
async function twoStores() {
  const all = clusterScene();
  const [a, b] = [clusterStore(), clusterStore()];
  await all.node("a", { resume: { store: a } });
  await all.node("b", { resume: { store: b } });
  return { all, a, b };
}

test.each([
  ["longer", MINUTE_MS, LONG_MS],
  ["shorter", LONG_MS, MINUTE_MS],
])("A value put with a %s lifetime replaces the earlier value for all nodes", async (_time, firstMs, secondMs) => {
  const { a, b } = await twoStores();
  await a.put("x/1", Uint8Array.of(1), firstMs);
  await b.put("x/1", Uint8Array.of(2), secondMs);
  expect(await a.get("x/1")).toEqual(Uint8Array.of(2));
});

test.each([
  ["longer", MINUTE_MS, LONG_MS],
  ["shorter", LONG_MS, MINUTE_MS],
])("create() with a %s lifetime fails while the key has a value", async (_time, firstMs, secondMs) => {
  const { all, a, b } = await twoStores();
  expect(await a.create("x/1", Uint8Array.of(1), firstMs)).toBe(true);
  expect(await b.create("x/1", Uint8Array.of(2), secondMs)).toBe(false);
  expect(await b.get("x/1")).toEqual(Uint8Array.of(1));
  // The rejected value isn't stored on any node.
  await all.runtime.advance(firstMs);
  expect(await b.get("x/1")).toBeNull();
  expect(await b.create("x/1", Uint8Array.of(3), secondMs)).toBe(true);
});

test("A store rejects while the link is down, without a cluster, and if it belongs to another server", async () => {
  const all = clusterScene();
  const store = clusterStore();
  await expect(store.get("x")).rejects.toMatchObject({ code: ErrorCode.CLUSTER_UNAVAILABLE });
  await all.node("a", { resume: { store } });
  await expect(all.node("b", { resume: { store } })).rejects.toMatchObject({ code: ErrorCode.INVALID_CONFIG });
  all.cluster.cut("a");
  await expect(store.get("x")).rejects.toMatchObject({ code: ErrorCode.CLUSTER_UNAVAILABLE });
  await expect(store.put("x", Uint8Array.of(1), 40 * 86_400_000)).rejects.toMatchObject({
    code: ErrorCode.INVALID_CONFIG,
  });
});

test("A message with ack is handled once, even if its sender retries on another node", async () => {
  const all = clusterScene();
  const handled: unknown[] = [];
  const prepare = (server: Server): void => {
    server.on("order", (_connection, data) => {
      handled.push(data);
    });
  };
  const nodes: TestNode[] = [];
  for (const id of ["a", "b"]) nodes.push(await all.node(id, { resume: resume() }, prepare));
  for (const node of nodes) await (await node.join()).send("order", 7, { ack: { once: "order-7" } });
  expect(handled).toEqual([7]);
});

test("A call executed while its node was cut off isn't executed again on another node, which returns the stored answer", async () => {
  const all = clusterScene();
  const ran: string[] = [];
  const prepare = (server: Server): void => {
    server.rpc("charge", () => {
      all.cluster.cut("a");
      return ran.push(`call by ${server.config.name}`);
    });
    server.on("order", () => {
      all.cluster.cut("a");
      ran.push(`order by ${server.config.name}`);
    });
  };
  const a = await all.node("a", { resume: resume() }, prepare);
  const b = await all.node("b", { resume: resume() }, prepare);
  const [here, there] = [await a.join(), await b.join()];
  expect(await here.call("charge", {}, { once: "key" })).toBe(1);
  const called = outcome(there.call("charge", {}, { once: "key", timeoutMs: 60_000 }));
  await all.runtime.advance(2000);
  all.cluster.heal("a");
  await all.runtime.advance(40_000);
  expect(called).toMatchObject({ state: "resolved", value: 1 });
  await here.send("order", 7, { ack: { once: "order-7" } });
  const sent = outcome(there.send("order", 7, { ack: { once: "order-7" } }));
  await all.runtime.advance(2000);
  all.cluster.heal("a");
  await all.runtime.advance(40_000);
  expect(sent.state).toBe("resolved");
  expect(ran).toEqual(["call by a", "order by a"]);
});

test("A session of a lost node continues on another node, which handles only messages that weren't handled before", async () => {
  const all = clusterScene();
  const { runtime } = all;
  const first: unknown[] = [];
  const a = await all.node("a", { port: 9000, resume: resume() }, (server) => {
    server.on("n", async (_client, n) => {
      first.push(n);
      if (Number(n) >= 3) await new Promise(() => undefined);
    });
  });
  const reconnect = { delayMs: 10, maxDelayMs: 10, jitter: false };
  const { client } = testClient(runtime, { port: 9000, ...ADA, resume: true, reconnect });
  const resumed: unknown[] = [];
  client.onResume((session) => void resumed.push(session));
  await client.connect();
  for (let n = 0; n < 6; n += 1) client.send("n", n);
  await runtime.settle();
  expect(first).toEqual([0, 1, 2, 3, 4, 5]);
  // Like kill -9: other nodes aren't notified of its end.
  all.cluster.cut("a");
  for (const { accepted } of runtime.pairs) accepted.destroy(null);
  const stopped = a.server.stop({ drainMs: 0 });
  await runtime.advance(200);
  await stopped;
  const second: unknown[] = [];
  await all.node("b", { port: 9000, resume: resume() }, (server) => {
    server.on("n", (_client, n) => void second.push(n));
  });
  // The new node waits for a heartbeat from the former node.
  await runtime.advance(1100);
  expect(second).toEqual([3, 4, 5]);
  expect(resumed).toEqual([{ replayed: 3, lost: 0, restarted: true }]);
});

test("A node that restarts with the same id doesn't wait for its former run", async () => {
  const all = clusterScene();
  const { runtime } = all;
  const a = await all.node("a", { port: 9000, resume: resume() });
  const reconnect = { delayMs: 10, maxDelayMs: 10, jitter: false };
  const { client } = testClient(runtime, { port: 9000, ...ADA, resume: true, reconnect });
  const resumed: unknown[] = [];
  client.onResume((session) => void resumed.push(session));
  await client.connect();
  await runtime.settle();
  // Like kill -9: other nodes aren't notified of its end.
  all.cluster.cut("a");
  for (const { accepted } of runtime.pairs) accepted.destroy(null);
  const stopped = a.server.stop({ drainMs: 0 });
  await runtime.advance(200);
  await stopped;
  all.cluster.heal("a");
  await all.node("a", { port: 9000, resume: resume() });
  await runtime.advance(100);
  expect(resumed).toEqual([{ replayed: 0, lost: 0, restarted: true }]);
});

test("A client that reconnects to another node takes over the session that its former node still has", async () => {
  const all = clusterScene();
  const { runtime } = all;
  const [atA, atB]: unknown[][] = [[], []];
  const ends: number[] = [];
  const a = await all.node("a", { port: 9000, resume: resume() }, (server) => {
    server.on("n", async (_client, n) => {
      atA?.push(n);
      if (Number(n) >= 2) await new Promise(() => undefined);
    });
    server.onClientDisconnect((_client, { code }) => void ends.push(code));
  });
  const b = await all.node("b", { port: 9001, resume: resume() }, (server) => {
    server.on("n", (_client, n) => void atB?.push(n));
  });
  const reconnect = { delayMs: 10, maxDelayMs: 10, jitter: false };
  const { client } = testClient(runtime, { port: 9000, ...ADA, resume: true, reconnect });
  const resumed: unknown[] = [];
  client.onResume((session) => void resumed.push(session));
  await client.connect();
  for (let n = 0; n < 4; n += 1) client.send("n", n);
  await runtime.settle();
  // Like a load balancer that chooses another node.
  runtime.dialBehaviours.push(({ target, signal }) => runtime.connect({ ...target, port: 9001 }, signal));
  runtime.pairs.at(-1)?.accepted.destroy(null);
  await runtime.advance(1000);
  expect(atA).toEqual([0, 1, 2, 3]);
  expect(atB).toEqual([2, 3]);
  expect(resumed).toEqual([{ replayed: 2, lost: 0, restarted: true }]);
  expect(ends).toEqual([ErrorCode.SESSION_EXPIRED]);
  expect([a.server.connectionCount, b.server.connectionCount]).toEqual([0, 1]);
  client.send("n", 4);
  await runtime.settle();
  expect(atB).toEqual([2, 3, 4]);
});

test("A session is requested only from the node that has it, without waiting for others", async () => {
  const all = clusterScene();
  const { runtime } = all;
  const [a, b] = [await all.node("a", { resume: resume() }), await all.node("b", { resume: resume() })];
  await all.node("c", { resume: resume() });
  await runtime.settle();
  const reconnect = { delayMs: 10, maxDelayMs: 10, jitter: false };
  const client = await a.join({ ...ADA, resume: true, reconnect });
  const resumed: unknown[] = [];
  client.onResume((session) => void resumed.push(session));
  await runtime.settle();
  all.cluster.partition(["a", "b"], ["c"]);
  runtime.dialBehaviours.push(({ target, signal }) => runtime.connect({ ...target, port: b.port }, signal));
  runtime.pairs.at(-1)?.accepted.destroy(null);
  await runtime.advance(100);
  expect([client.isConnected, resumed]).toEqual([true, [{ replayed: 0, lost: 0, restarted: true }]]);
  expect([a.server.connectionCount, b.server.connectionCount]).toEqual([0, 1]);
});

test("If a node's link is down, it and the client's new node both handle the session's messages, except those with ack", async () => {
  const all = clusterScene();
  const { runtime } = all;
  const handled: Record<string, unknown[]> = { a: [], b: [] };
  const ends: string[] = [];
  const starting = gate();
  const prepare = (server: Server): void => {
    const at = handled[String(server.config.name)] ?? [];
    server.on("n", async (_client, n) => {
      at.push(n);
      if (server.config.name === "a") await starting.promise;
    });
    server.onClientDisconnect((_client, { code }) => void ends.push(`${server.config.name} ${code}`));
  };
  const options = { resume: { store: clusterStore(), windowMs: 60_000 }, handlerConcurrency: 1 };
  const a = await all.node("a", { port: 9000, ...options }, prepare);
  const b = await all.node(
    "b",
    { port: 9001, ...options, resume: { ...options.resume, store: clusterStore() } },
    prepare,
  );
  const reconnect = { delayMs: 10, maxDelayMs: 10, jitter: false };
  const { client } = testClient(runtime, { port: 9000, ...ADA, resume: true, reconnect });
  await client.connect();
  await runtime.settle();
  all.cluster.cut("a");
  for (const n of [1, 2]) client.send("n", n);
  const sent = outcome(client.send("n", "with ack", { ack: true }));
  await runtime.settle();
  expect(handled).toEqual({ a: [1], b: [] });
  runtime.dialBehaviours.push(({ target, signal }) => runtime.connect({ ...target, port: 9001 }, signal));
  runtime.pairs.at(-1)?.accepted.destroy(null);
  // The new node waits for the former node's answer for at most `answerTimeoutMs`.
  await runtime.advance(1900);
  expect([client.isConnected, handled["b"]]).toEqual([false, []]);
  await runtime.advance(1000);
  expect(handled["b"]).toEqual([1, 2, "with ack"]);
  expect([a.server.connectionCount, b.server.connectionCount]).toEqual([1, 1]);
  starting.open();
  await runtime.settle();
  expect([handled["a"], sent.state]).toEqual([[1, 2], "resolved"]);
  all.cluster.heal("a");
  await runtime.advance(56_000);
  expect(ends).toEqual([]);
  await runtime.advance(2000);
  expect(ends).toEqual([`a ${ErrorCode.SESSION_EXPIRED}`]);
});

test("A client of a stopping node moves to another node, and no message is lost or handled twice", async () => {
  const all = clusterScene();
  const { runtime } = all;
  const handled: unknown[] = [];
  const prepare = (server: Server): void => {
    server.on("n", (_client, n) => void handled.push(n));
  };
  const a = await all.node("a", { port: 9000, resume: resume() }, prepare);
  await all.node("b", { port: 9001, resume: resume() }, prepare);
  const reconnect = { delayMs: 10, maxDelayMs: 10, jitter: false };
  const { client } = testClient(runtime, { port: 9000, ...ADA, resume: true, reconnect });
  await client.connect();
  for (let n = 0; n < 4; n += 1) client.send("n", n);
  await runtime.settle();
  runtime.dialBehaviours.push(({ target, signal }) => runtime.connect({ ...target, port: 9001 }, signal));
  const stopped = a.server.stop();
  await runtime.advance(3000);
  await stopped;
  expect(client.isConnected).toBe(true);
  client.send("n", 4);
  await runtime.settle();
  expect(handled).toEqual([0, 1, 2, 3, 4]);
});
