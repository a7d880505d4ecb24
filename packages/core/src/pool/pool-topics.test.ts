import * as v from "valibot";
import { describe, expect, test } from "vitest";
import type { Resumption } from "../client/topics/subscription.ts";
import { ErrorCode } from "../errors.ts";
import type { Server } from "../server/server.ts";
import type { Topic } from "../server/topics/topic.ts";
import { clusterScene } from "../test-support/cluster-scene.ts";
import { type FakeRuntime, fakeRuntime } from "../test-support/fake-runtime.ts";
import { testPool, testServer } from "../test-support/peers.ts";
import { taken } from "../test-support/topic-scene.ts";

async function serve(runtime: FakeRuntime, port: number): Promise<{ server: Server; news: Topic }> {
  const { server } = await testServer(runtime, { port });
  return { server, news: server.topic("news", { history: { messages: 100 }, publish: true }) };
}

/** Creates a pool for servers 1 and 2 with the topic `news`. */
async function scene(options: Parameters<typeof testPool>[2] = {}) {
  const runtime = fakeRuntime();
  const servers = [await serve(runtime, 1), await serve(runtime, 2)] as const;
  return { runtime, servers, ...testPool(runtime, [1, 2], options) };
}

/** Returns the server with the subscriber, then the other one. */
function inOrder<T extends { news: Topic }>([one, two]: readonly [T, T]): readonly [T, T] {
  return one.news.size > 0 ? [one, two] : [two, one];
}

describe("a pool's subscription", () => {
  test("is at one server, and waits for it if it begins before connect", async () => {
    const { runtime, servers, pool } = await scene();
    const subscription = pool.subscribe<number>("news");
    await pool.connect({ all: true });
    await subscription.ready;
    expect(servers.map(({ news }) => news.size).toSorted()).toEqual([0, 1]);
    for (const { news } of servers) news.publish(1);
    await runtime.settle();
    expect(await taken(subscription)).toEqual([1]);
  });

  test.each([
    ["stops", (server: Server) => server.stop({ drainMs: 0 })],
    ["loses it", async (server: Server) => server.connections[0]?.close("bye", { reconnect: false })],
  ])("goes to another server when its own one %s, and says that it may have missed something", async (_how, end) => {
    const { runtime, servers, pool } = await scene();
    await pool.connect({ all: true });
    const subscription = pool.subscribe<string>("news");
    const resumptions: Resumption[] = [];
    subscription.onResume((resumption) => resumptions.push(resumption));
    await subscription.ready;
    const [first, second] = inOrder(servers);
    first.news.publish("first");
    await runtime.settle();
    void end(first.server);
    await runtime.settle();
    await runtime.advance(50);
    second.news.publish("second");
    await runtime.settle();
    expect([await taken(subscription), resumptions, second.news.size]).toEqual([
      ["first", "second"],
      [{ recovered: false, missed: null }],
      1,
    ]);
  });

  test("comes back to the only server without a gap", async () => {
    const runtime = fakeRuntime();
    const { server, news } = await serve(runtime, 1);
    const { pool } = testPool(runtime, [1]);
    await pool.connect();
    const subscription = pool.subscribe<number>("news");
    await subscription.ready;
    void server.connections[0]?.close("again", { reconnect: true });
    await runtime.settle();
    for (const n of [1, 2]) news.publish(n);
    await runtime.advance(200);
    expect([await taken(subscription), subscription.recovered, news.size]).toEqual([[1, 2], true, 1]);
  });

  test("is left on its server when it is closed, and ends with the pool", async () => {
    const { runtime, servers, pool } = await scene();
    await pool.connect({ all: true });
    const [first, second] = [pool.subscribe("news"), pool.subscribe("news")];
    await Promise.all([first.ready, second.ready]);
    first.close();
    await runtime.settle();
    expect(servers.map(({ news }) => news.size).toSorted()).toEqual([0, 1]);
    await pool.close();
    expect([await first.next(), await second.next()]).toEqual([
      { done: true, value: undefined },
      { done: true, value: undefined },
    ]);
    await expect(pool.subscribe("news").ready).rejects.toMatchObject({ code: ErrorCode.CONNECTION_CLOSED });
  });

  test("ends with the error of connect if no server can be reached", async () => {
    const { pool } = testPool(fakeRuntime(), [1, 2]);
    const subscription = pool.subscribe("news");
    await expect(pool.connect()).rejects.toMatchObject({ code: ErrorCode.CONNECTION_REFUSED });
    await expect(subscription.next()).rejects.toMatchObject({ code: ErrorCode.CONNECTION_REFUSED });
  });

  test("that is refused stays refused", async () => {
    const { runtime, servers, pool } = await scene();
    await pool.connect({ all: true });
    await expect(pool.subscribe("nothing").ready).rejects.toMatchObject({ code: ErrorCode.NOT_FOUND });
    void servers[0].server.stop({ drainMs: 0 });
    await runtime.settle();
    expect(servers.map(({ news }) => news.size)).toEqual([0, 0]);
  });
});

describe("a pool", () => {
  test("publishes at one server, what the contract's schema allows", async () => {
    const { runtime, servers, pool } = await scene({ contract: { topics: { news: v.string() } } });
    await pool.connect({ all: true });
    const subscription = pool.subscribe("news");
    await subscription.ready;
    await pool.publish("news", "hello");
    await pool.publish("news", "hello");
    await expect(pool.publish("news", 5 as never)).rejects.toMatchObject({ code: ErrorCode.INVALID_TYPE });
    await runtime.settle();
    expect(servers.map(({ news }) => news.stats.published)).toEqual([1, 1]);
  });

  test("is notified of subscriptions that servers begin", async () => {
    const { runtime, servers, pool } = await scene();
    const begun: string[] = [];
    pool.onSubscribed(({ topic }) => begun.push(topic));
    await pool.connect({ all: true });
    for (const { server, news } of servers) for (const connection of server.connections) news.add(connection);
    await runtime.settle();
    expect(begun).toEqual(["news", "news"]);
  });

  test("has no folder while no server takes calls", async () => {
    const { pool } = await scene();
    expect(() => pool.files("reports")).toThrow(expect.objectContaining({ code: ErrorCode.CONNECTION_CLOSED }));
    await pool.connect();
    expect(typeof pool.files("reports").list).toBe("function");
  });
});

describe("a pool's subscription to a durable topic", () => {
  test.each([
    ["stops", (server: Server) => server.stop({ drainMs: 0 })],
    ["loses it", async (server: Server) => server.connections[0]?.close("bye", { reconnect: false })],
  ])("goes on at another node without a gap when its own one %s", async (_how, end) => {
    const all = clusterScene();
    const prepare = (server: Server): void => {
      server.topic("orders", { publish: true, history: { messages: 100, durable: true } });
    };
    const nodes = [await all.node("a", { port: 1 }, prepare), await all.node("b", { port: 2 }, prepare)];
    const third = await all.node("c", {}, prepare);
    await all.runtime.settle();
    const { pool } = testPool(all.runtime, [1, 2]);
    await pool.connect({ all: true });
    const subscription = pool.subscribe<number>("orders");
    const resumptions: Resumption[] = [];
    subscription.onResume((resumption) => resumptions.push(resumption));
    await subscription.ready;
    const publisher = await third.join();
    for (const n of [1, 2]) await publisher.publish("orders", n);
    await all.runtime.settle();
    const isAt = async ({ server }: (typeof nodes)[number]): Promise<boolean> =>
      (await server.listConnections({ where: { topic: "orders" } })).connections.some(
        ({ node }) => node === server.cluster?.nodeId,
      );
    const at = (await isAt(nodes[0] as (typeof nodes)[number])) ? 0 : 1;
    void end((nodes[at] as (typeof nodes)[number]).server);
    for (const n of [3, 4]) await publisher.publish("orders", n);
    await all.runtime.advance(500);
    for (const n of [5, 6]) await publisher.publish("orders", n);
    await all.runtime.settle();
    expect(await taken(subscription)).toEqual([1, 2, 3, 4, 5, 6]);
    expect(resumptions).toEqual([{ recovered: true, missed: 0 }]);
  });
});
