import { describe, expect, test } from "vitest";
import type { Resumption } from "../../client/topics/subscription.ts";
import { outcome } from "../../test-support/peers.ts";
import { taken, topicScene } from "../../test-support/topic-scene.ts";

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
});
