import * as v from "valibot";
import { describe, expect, test } from "vitest";
import type { Subscription } from "../../client/topics/subscription.ts";
import { ErrorCode, type RpcError } from "../../errors.ts";
import { TOPIC_DATA_FRAME } from "../../extensions/topics/topic.ts";
import { gate } from "../../test-support/gate.ts";
import { outcome, testClient } from "../../test-support/peers.ts";
import { dataOf, taken, topicScene } from "../../test-support/topic-scene.ts";
import { COMPRESSED } from "../../testing/raw-frames.ts";

describe("a topic", () => {
  test("takes what clients publish; without data that is null", async () => {
    const { runtime, server, join } = await topicScene();
    server.topic("news", { publish: true });
    const client = await join();
    const subscription = client.subscribe("news");
    await subscription.ready;
    await client.publish("news", { one: 1 });
    await client.publish("news", undefined);
    await runtime.settle();
    expect(await taken(subscription)).toEqual([{ one: 1 }, null]);
  });

  test("for subscribers takes what they published while they weren't connected: they subscribe before what waited is sent", async () => {
    const { runtime, server } = await topicScene();
    server.topics("room:*", { authorize: () => true, publish: "subscribers" });
    const reconnect = { jitter: false, delayMs: 100 };
    const { client } = testClient(runtime, { reconnect, queueWhileDisconnected: "send" });
    const subscription = client.subscribe("room:1");
    const before = outcome(client.publish("room:1", "before the first connect"));
    await client.connect();
    await runtime.settle();
    expect(before).toMatchObject({ state: "resolved" });
    runtime.pairs.at(-1)?.accepted.destroy(null);
    await runtime.settle();
    const away = outcome(client.publish("room:1", "away"));
    await runtime.advance(100);
    expect(away).toMatchObject({ state: "resolved" });
    expect(await taken(subscription)).toEqual(["before the first connect", "away"]);
  });

  test("delivers what is published to its subscribers alone, in order", async () => {
    const { runtime, server, join, connectionOf } = await topicScene();
    const news = server.topic("news");
    const first = await join();
    const second = await join();
    const other = second.subscribe("news");
    await other.ready;
    other.close();
    const subscription = first.subscribe("news");
    await subscription.ready;
    expect(news.subscribers).toEqual([connectionOf(first)]);
    expect([news.publish(1), news.publish({ two: 2 })]).toEqual([1, 1]);
    await runtime.settle();
    expect(await taken(subscription)).toEqual([1, { two: 2 }]);
    expect(other.waiting).toBe(0);
  });

  test("is iterated, and leaving the loop unsubscribes", async () => {
    const { runtime, server, join } = await topicScene();
    const news = server.topic("news");
    const client = await join();
    const subscription = client.subscribe<number>("news");
    await subscription.ready;
    news.publish(1);
    news.publish(2);
    const seen: number[] = [];
    for await (const item of subscription) {
      seen.push(item);
      if (item === 2) break;
    }
    await runtime.settle();
    expect([seen, news.size]).toEqual([[1, 2], 0]);
    expect(await subscription.next()).toEqual({ done: true, value: undefined });
  });

  test("that doesn't exist is refused with the nearest name", async () => {
    const { server, join } = await topicScene();
    server.topic("sensors");
    const client = await join();
    const subscription = client.subscribe("sensor");
    const next = outcome(subscription.next());
    await expect(subscription.ready).rejects.toMatchObject({
      code: ErrorCode.NOT_FOUND,
      message:
        "Topic not found: sensor (did you mean 'sensors'?); " +
        "a server makes topics by topic(name), or by topics(pattern) for a pattern that fits",
    });
    expect(next).toMatchObject({ state: "rejected", error: { code: ErrorCode.NOT_FOUND } });
  });

  test("is NOT_FOUND on a server without topics", async () => {
    const { join } = await topicScene();
    const client = await join();
    await expect(client.subscribe("news").ready).rejects.toMatchObject({ code: ErrorCode.NOT_FOUND });
    await expect(client.publish("news", 1)).rejects.toMatchObject({ code: ErrorCode.NOT_FOUND });
  });

  test("is encoded once, however many subscribers it has", async () => {
    const { server, raw } = await topicScene();
    const news = server.topic("news");
    const peers = [await raw("news"), await raw("news"), await raw("news")];
    let reads = 0;
    const data = {
      get n() {
        reads += 1;
        return 1;
      },
    };
    server.broadcast("once", data, { include: [] });
    const once = reads;
    expect(news.publish(data)).toBe(3);
    expect(reads).toBe(2 * once);
    for (const peer of peers) expect(await dataOf(peer)).toEqual([{ n: 1 }]);
  });

  test("sends a targeted message to the selected subscribers alone, and doesn't keep it", async () => {
    const { runtime, server, join, connectionOf } = await topicScene();
    const news = server.topic("news", { retain: 5 });
    const [first, second, stranger] = [await join(), await join(), await join()];
    const subscriptions = [first.subscribe("news"), second.subscribe("news")];
    for (const { ready } of subscriptions) await ready;
    const ids = [first, second, stranger].map((client) => connectionOf(client).id) as [string, string, string];
    expect(news.publish("to the first", { include: [ids[0], ids[2]] })).toBe(1);
    expect(news.publish("to the second", { exclude: ids[0] })).toBe(1);
    expect(news.publish("to all")).toBe(2);
    await runtime.settle();
    expect(await taken(subscriptions[0] as Subscription)).toEqual(["to the first", "to all"]);
    expect(await taken(subscriptions[1] as Subscription)).toEqual(["to the second", "to all"]);
    const late = stranger.subscribe("news");
    await late.ready;
    await runtime.settle();
    expect(await taken(late)).toEqual(["to all"]);
    expect(subscriptions.map(({ dropped }) => dropped)).toEqual([0, 0]);
  });

  test("sends large data compressed to those that take it so, and plain to others", async () => {
    const { runtime, server, join, raw } = await topicScene({ enableCompression: true });
    const news = server.topic("news");
    const subscription = (await join({ enableCompression: true })).subscribe("news");
    const plain = (await join({ enableCompression: false })).subscribe("news");
    await Promise.all([subscription.ready, plain.ready]);
    const peer = await raw("news");
    const text = "x".repeat(50_000);
    expect(news.publish(text)).toBe(3);
    await runtime.settle();
    expect([await taken(subscription), await taken(plain)]).toEqual([[text], [text]]);
    const data = (await peer.received()).find(({ type }) => type === TOPIC_DATA_FRAME);
    expect(data?.flags).toBe(COMPRESSED);
    expect(data?.payloadBytes.length).toBeLessThan(5000);
  });

  test("keeps the order of large and small messages", async () => {
    const { runtime, server, join } = await topicScene();
    const news = server.topic("news");
    const client = await join();
    const subscription = client.subscribe<string>("news");
    await subscription.ready;
    const sent = [1, 300_000, 2, 100_000, 3, 4].map((length) => "x".repeat(length));
    for (const text of sent) news.publish(text);
    await runtime.settle();
    expect((await taken(subscription)).map(({ length }) => length)).toEqual(sent.map(({ length }) => length));
  });

  test("continues after more messages than the first grant of credit", async () => {
    const { runtime, server, join } = await topicScene({ sendQueueSize: 10_000 });
    const news = server.topic("news");
    const client = await join({ receiveQueueSize: 10 });
    const subscription = client.subscribe<number>("news", { buffer: 1000 });
    await subscription.ready;
    for (let n = 0; n < 500; n += 1) news.publish(n);
    await runtime.settle();
    expect(await taken(subscription)).toEqual(Array.from({ length: 500 }, (_, n) => n));
  });

  test("ends: its subscriptions end, and its name is free", async () => {
    const { runtime, server, join } = await topicScene();
    const news = server.topic("news");
    const client = await join();
    const subscription = client.subscribe("news");
    await subscription.ready;
    const next = outcome(subscription.next());
    news.close();
    await runtime.settle();
    expect(next).toMatchObject({ state: "resolved", value: { done: true } });
    expect(() => news.publish(1)).toThrow(expect.objectContaining({ code: ErrorCode.INVALID_STATE }));
    const again = server.topic("news");
    await client.subscribe("news").ready;
    expect(again.size).toBe(1);
  });

  test("with a name in use, or invalid options, is refused", async () => {
    const { server } = await topicScene();
    server.topic("news");
    const code = (make: () => unknown): number => {
      try {
        make();
      } catch (error) {
        return (error as RpcError).code;
      }
      return 0;
    };
    expect([
      code(() => server.topic("news")),
      code(() => server.topic("")),
      code(() => server.topic(5 as never)),
      code(() => server.topic("room:*")),
      code(() => server.topics("room", { authorize: () => true })),
      code(() => server.topics("a*b*", { authorize: () => true })),
      code(() => server.topics("room:*", {} as never)),
      code(() => server.topic("other", { retain: -1 })),
      code(() => server.topic("other", { slow: "wait" as never })),
      code(() => server.topic("other", { histroy: {} } as never)),
    ]).toEqual([ErrorCode.INVALID_STATE, ...Array.from({ length: 9 }, () => ErrorCode.INVALID_CONFIG)]);
  });
});

describe("publishing by clients", () => {
  test("needs permission", async () => {
    const { runtime, server, join } = await topicScene();
    server.topic("closed");
    server.topic("open", { publish: true });
    server.topic("mine", { publish: async ({ info }) => info.name === "ada" });
    const ada = await join({ name: "ada" });
    const grace = await join({ name: "grace" });
    await expect(ada.publish("closed", 1)).rejects.toMatchObject({ code: ErrorCode.PERMISSION_DENIED });
    await expect(grace.publish("mine", 1)).rejects.toMatchObject({ code: ErrorCode.PERMISSION_DENIED });
    const subscription = grace.subscribe("mine");
    await subscription.ready;
    await ada.publish("open", 1);
    await ada.publish("mine", "from Ada");
    await runtime.settle();
    expect(await taken(subscription)).toEqual(["from Ada"]);
  });

  test("is checked by the schema, on both sides", async () => {
    const schema = v.object({ celsius: v.pipe(v.number(), v.maxValue(100)) });
    const { runtime, server, join } = await topicScene();
    const sensors = server.topic("sensors", { schema, publish: true });
    const client = await join();
    const refusal = { code: ErrorCode.INVALID_TYPE, details: { errors: [{ field: "celsius" }] } };
    await expect(client.publish("sensors", { celsius: "hot" })).rejects.toMatchObject(refusal);
    expect(() => sensors.publish({ celsius: "hot" } as never)).toThrow(
      expect.objectContaining({ code: ErrorCode.INVALID_TYPE }),
    );
    const picky = await join({ contract: { topics: { sensors: v.object({ celsius: v.literal(20) }) } } });
    const subscription = picky.subscribe("sensors");
    await subscription.ready;
    await expect(picky.publish("sensors", { celsius: 21 } as never)).rejects.toMatchObject({
      code: ErrorCode.VALIDATION,
    });
    for (const celsius of [20, 21, 20]) sensors.publish({ celsius });
    await runtime.settle();
    expect([await taken(subscription), subscription.dropped]).toEqual([[{ celsius: 20 }, { celsius: 20 }], 1]);
  });

  test("is refused to a user that loses its role while the program decides", async () => {
    const ada = { username: "ada", password: "one password" };
    const users = { ada: { password: ada.password, roles: ["editor"] } };
    const { server, runtime, join, connectionOf } = await topicScene({ users });
    const asked = gate();
    const publish = async (): Promise<boolean> => await asked.promise.then(() => true);
    const news = server.topic("news", { publish, roles: ["editor"], history: { messages: 10 } });
    const author = await join(ada);
    const before = news.position;
    const published = outcome(author.publish("news", 1));
    await runtime.settle();
    connectionOf(author)._renew({ ...connectionOf(author).user, roles: [] });
    asked.open();
    await runtime.settle();
    expect(published.error?.code).toBe(ErrorCode.PERMISSION_DENIED);
    expect(news.position).toBe(before);
  });

  test("publishes what the schema puts out, and uses that of the contract", async () => {
    const contract = { topics: { "room:*": v.object({ text: v.pipe(v.string(), v.trim()) }) } };
    const { runtime, server, join } = await topicScene({ contract });
    server.topics("room:*", { authorize: () => true, publish: true });
    const client = await join();
    const subscription = client.subscribe("room:7");
    await subscription.ready;
    await client.publish("room:7", { text: "  hello " });
    await runtime.settle();
    expect(await taken(subscription)).toEqual([{ text: "hello" }]);
  });

  test("of data that can't be sent throws before anything is sent", async () => {
    const { runtime, server, join } = await topicScene();
    const news = server.topic("news", { retain: 1 });
    const client = await join();
    const subscription = client.subscribe("news");
    await subscription.ready;
    expect(() => news.publish(() => 1)).toThrow(expect.objectContaining({ code: ErrorCode.UNSERIALIZABLE }));
    news.publish("fine");
    await runtime.settle();
    expect([await taken(subscription), subscription.dropped]).toEqual([["fine"], 0]);
  });
});
