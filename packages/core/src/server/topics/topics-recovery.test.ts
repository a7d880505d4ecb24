import { describe, expect, test } from "vitest";
import type { Resumption } from "../../client/topics/subscription.ts";
import { outcome } from "../../test-support/peers.ts";
import { taken, topicScene } from "../../test-support/topic-scene.ts";
import type { TopicOptions } from "./topic-options.ts";

describe("history", () => {
  test("retained messages go to each new subscriber, the last ones", async () => {
    const { runtime, server, join } = await topicScene();
    const news = server.topic("news", { retain: 2 });
    for (const n of [1, 2, 3]) news.publish(n);
    const client = await join();
    const subscription = client.subscribe("news");
    await subscription.ready;
    await runtime.settle();
    expect(await taken(subscription)).toEqual([2, 3]);
    expect(subscription.recovered).toBe(false);
  });

  test("retained messages stay when they are older than the history", async () => {
    const { runtime, server, join } = await topicScene();
    const news = server.topic("news", { retain: 1, history: { messages: 10, ageMs: 1000 } });
    for (const n of [1, 2, 3]) news.publish(n);
    await runtime.advance(2000);
    const subscription = (await join()).subscribe("news");
    await subscription.ready;
    await runtime.settle();
    expect(await taken(subscription)).toEqual([3]);
    expect(news.stats.keptMessages).toBe(1);
  });

  test("continues from a position, in another client as well", async () => {
    const { runtime, server, join } = await topicScene();
    const news = server.topic("news", { history: { messages: 10 } });
    const first = (await join()).subscribe<number>("news");
    await first.ready;
    for (const n of [1, 2, 3]) news.publish(n);
    await runtime.settle();
    expect((await first.next()).value).toBe(1);
    const since = first.position as string;
    const second = (await join()).subscribe<number>("news", { since });
    await second.ready;
    await runtime.settle();
    expect([await taken(second), second.recovered, second.dropped]).toEqual([[2, 3], true, 0]);
    expect(second.position).toBe(news.position);
  });

  test.each([
    ["by number", { messages: 2 }, 0],
    ["by bytes", { messages: 100, bytes: 150 }, 0],
    ["by age", { messages: 100, ageMs: 1000 }, 1001],
  ])("that is trimmed %s is no recovery, and nothing of it is sent as one", async (_how, history, waitMs) => {
    const { runtime, server, join } = await topicScene();
    const news = server.topic("news", { history });
    const first = (await join()).subscribe<number>("news");
    await first.ready;
    const since = first.position as string;
    for (const n of [1, 2, 3]) news.publish(`${n} ${"x".repeat(50)}`);
    await runtime.advance(waitMs);
    const second = (await join()).subscribe<number>("news", { since });
    await second.ready;
    await runtime.settle();
    expect([await taken(second), second.recovered, second.dropped]).toEqual([[], false, 3]);
  });

  test("of another server is no recovery", async () => {
    const { runtime, server, join } = await topicScene();
    server.topic("news", { history: { messages: 10 } }).publish(1);
    const subscription = (await join()).subscribe("news", { since: "0123456789abcdef.1:0" });
    await subscription.ready;
    await runtime.settle();
    expect([await taken(subscription), subscription.recovered]).toEqual([[], false]);
  });

  test("lets a subscription return after a reconnect without a gap", async () => {
    const { runtime, server, join, connectionOf } = await topicScene();
    const news = server.topic("news", { history: { messages: 10 } });
    const client = await join();
    const subscription = client.subscribe<number>("news");
    const resumptions: Resumption[] = [];
    subscription.onResume((resumption) => resumptions.push(resumption));
    await subscription.ready;
    news.publish(1);
    await runtime.settle();
    const iterated: number[] = [];
    const loop = outcome(
      (async () => {
        for await (const item of subscription) iterated.push(item);
      })(),
    );
    void connectionOf(client).close("again", { reconnect: true });
    await runtime.settle();
    expect([subscription.isLive, news.size]).toEqual([false, 0]);
    news.publish(2);
    await runtime.advance(1000);
    news.publish(3);
    await runtime.settle();
    expect([iterated, subscription.recovered, resumptions]).toEqual([
      [1, 2, 3],
      true,
      [{ recovered: true, missed: 0 }],
    ]);
    await client.close();
    expect(loop.state).toBe("resolved");
  });

  test("that is too short says how many messages a returning subscription missed", async () => {
    const { runtime, server, join, connectionOf } = await topicScene();
    const news = server.topic("news", { history: { messages: 1 }, retain: 1 });
    const client = await join();
    const subscription = client.subscribe<number>("news");
    const resumptions: Resumption[] = [];
    subscription.onResume((resumption) => resumptions.push(resumption));
    await subscription.ready;
    void connectionOf(client).close("again", { reconnect: true });
    await runtime.settle();
    for (const n of [1, 2, 3]) news.publish(n);
    await runtime.advance(1000);
    expect([await taken(subscription), resumptions]).toEqual([[3], [{ recovered: false, missed: 2 }]]);
  });

  async function away(options: TopicOptions, whileAway: (n: number) => unknown, waitMs = 0) {
    const scene = await topicScene();
    const { runtime, server, join, connectionOf } = scene;
    const rooms = server.topics("room:*", { ...options, authorize: () => true });
    const client = await join({ reconnect: { jitter: false, delayMs: 5000 } });
    const subscription = client.subscribe<number>("room:7");
    const resumptions: Resumption[] = [];
    subscription.onResume((resumption) => resumptions.push(resumption));
    await subscription.ready;
    const room = rooms.topic("room:7");
    room.publish(0);
    void connectionOf(client).close("again", { reconnect: true });
    await runtime.settle();
    for (let n = 1; n <= 3; n += 1) {
      whileAway(n);
      room.publish(n);
      await runtime.advance(waitMs);
    }
    await runtime.advance(6000);
    room.publish(4);
    await runtime.settle();
    return { ...scene, resumptions, items: await taken(subscription), subscription };
  }

  test("that is trimmed by age while a client is away is no recovery", async () => {
    const { resumptions, items, subscription } = await away(
      { history: { messages: 100, ageMs: 4000 } },
      () => undefined,
      1500,
    );
    expect([resumptions, items, subscription.dropped]).toEqual([[{ recovered: false, missed: 3 }], [0, 4], 3]);
  });

  test("of a topic that was gone in the meantime is no recovery, and nobody knows what was missed", async () => {
    const { resumptions, items, subscription } = await away({}, () => undefined);
    expect([resumptions, items]).toEqual([[{ recovered: false, missed: null }], [0, 4]]);
    expect([subscription.recovered, subscription.dropped]).toEqual([false, 0]);
  });

  test("that is all there is a recovery", async () => {
    const { resumptions, items } = await away({ history: { messages: 4 } }, () => undefined);
    expect([resumptions, items]).toEqual([[{ recovered: true, missed: 0 }], [0, 1, 2, 3, 4]]);
  });

  test("of a topic that was closed and made again is that of another one, although offsets are the same", async () => {
    const { runtime, server, join } = await topicScene();
    const first = server.topic("news", { history: { messages: 10 } });
    const client = await join();
    const before = client.subscribe("news");
    await before.ready;
    first.publish("old 1");
    await runtime.settle();
    expect(await taken(before)).toEqual(["old 1"]);
    first.close();
    const second = server.topic("news", { history: { messages: 10 } });
    second.publish("new 1");
    second.publish("new 2");
    const after = client.subscribe("news", { since: before.position as string });
    await after.ready;
    await runtime.settle();
    expect([await taken(after), after.recovered]).toEqual([[], false]);
  });

  test("is complete for clients that subscribe and come back while others publish", async () => {
    const { runtime, server, join, connectionOf } = await topicScene();
    const news = server.topic("news", { history: { messages: 10_000 } });
    const clients = [await join(), await join(), await join()];
    const start = news.position as string;
    let n = 0;
    const publishing = async (count: number): Promise<void> => {
      for (let end = n + count; n < end; n += 1) {
        news.publish(n);
        await Promise.resolve();
      }
    };
    const subscriptions = clients.map((client) => client.subscribe<number>("news", { since: start }));
    await publishing(50);
    await Promise.all(subscriptions.map(({ ready }) => ready));
    for (let round = 0; round < 5; round += 1) {
      for (const client of clients) void connectionOf(client).close("again", { reconnect: true });
      await publishing(20);
      const returning = runtime.advance(20_000);
      await publishing(20);
      await returning;
      await publishing(20);
      await runtime.settle();
    }
    const all = Array.from({ length: n }, (_, index) => index);
    for (const subscription of subscriptions) {
      expect([await taken(subscription), subscription.recovered, subscription.dropped]).toEqual([all, true, 0]);
    }
  });
});
