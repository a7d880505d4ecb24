import { describe, expect, test } from "vitest";
import { ErrorCode } from "../../errors.ts";
import { CHUNK_ACK_FRAME } from "../../extensions/chunk.ts";
import { TOPIC_END_FRAME, TOPIC_SUBSCRIBE, TOPIC_UNSUBSCRIBE } from "../../extensions/topics/topic.ts";
import { rawClient } from "../../test-support/raw-memory.ts";
import { EXTENSIONS } from "../../test-support/raw-peer.ts";
import { dataOf, taken, topicScene } from "../../test-support/topic-scene.ts";
import type { SlowConsumer } from "../broadcast.ts";
import type { Connection } from "../connection.ts";

describe("a subscriber that doesn't read", () => {
  const KIB_70 = "x".repeat(70_000);

  async function slowScene(
    slow: "drop-oldest" | "drop-newest" | "latest" | "disconnect",
    history?: { messages: number },
  ) {
    const scene = await topicScene({ sendQueueSize: 5 });
    const reports: SlowConsumer[] = [];
    scene.server.onSlowConsumer((_connection, report) => reports.push(report));
    const news = scene.server.topic("news", { slow, slowBuffer: 3, history });
    const sleeper = await scene.raw("news");
    const reader = (await scene.join()).subscribe<string>("news", { buffer: 1000 });
    await reader.ready;
    sleeper.pause();
    for (let n = 0; n < 20; n += 1) {
      news.publish(`${n} ${KIB_70}`);
      await scene.runtime.settle();
    }
    expect((await taken(reader)).length).toBe(20);
    const numbers = async (): Promise<number[]> =>
      (await dataOf(sleeper)).map((text) => Number.parseInt(text as string, 10));
    return { ...scene, news, sleeper, reports, numbers };
  }

  test("is disconnected", async () => {
    const { news, sleeper, reports, runtime } = await slowScene("disconnect");
    await runtime.settle();
    expect(reports).toMatchObject([{ action: "disconnected", topic: "news" }]);
    expect(news.size).toBe(1);
    expect(await sleeper.over).not.toBe("end");
  });

  test("misses the newest, and what is missed is counted", async () => {
    const { server, runtime, news, sleeper, reports, numbers } = await slowScene("drop-newest");
    const { dropped } = news.stats;
    expect(dropped).toBeGreaterThan(0);
    expect(reports).toMatchObject([{ action: "dropped", topic: "news", count: 1 }]);
    expect(server.connections.some(({ stats }) => stats.dropped === dropped)).toBe(true);
    sleeper.resume();
    await runtime.settle();
    const got = await numbers();
    expect(got).toEqual(Array.from({ length: 20 - dropped }, (_, n) => n));
    sleeper.reset();
    await runtime.settle();
    expect(reports.map(({ count }) => count)).toEqual([1, dropped - 1]);
  });

  test("is reported for each topic", async () => {
    const { server, runtime, raw } = await topicScene({ sendQueueSize: 5 });
    const reports: unknown[] = [];
    server.onSlowConsumer((_connection, { topic, count }) => reports.push([topic, count]));
    const [news, other] = [
      server.topic("news", { slow: "drop-newest" }),
      server.topic("other", { slow: "drop-newest" }),
    ];
    const sleeper = await raw("news");
    sleeper.call(TOPIC_SUBSCRIBE, { topic: "other" }, 2);
    await runtime.settle();
    sleeper.pause();
    while (reports.length === 0) news.publish(KIB_70);
    for (let n = 0; n < 3; n += 1) other.publish(n);
    await runtime.advance(1000);
    news.publish(1);
    other.publish(3);
    expect(reports).toEqual([
      ["news", 1],
      ["other", 1],
      ["news", 1],
      ["other", 3],
    ]);
  });

  test("misses the oldest, and gets the last ones when it reads", async () => {
    const { runtime, news, sleeper, reports, numbers } = await slowScene("drop-oldest");
    expect(news.stats.lagging).toBe(1);
    expect(news.stats.keptMessages).toBe(3);
    sleeper.resume();
    await runtime.settle();
    const got = await numbers();
    expect(got.slice(-3)).toEqual([17, 18, 19]);
    expect(news.stats).toMatchObject({ dropped: 20 - got.length, lagging: 0, keptMessages: 0 });
    expect(reports).toMatchObject([{ action: "dropped", topic: "news" }]);
  });

  test("gets only the latest, and no other waits for it", async () => {
    const { runtime, news, sleeper, numbers } = await slowScene("latest");
    expect(news.stats).toMatchObject({ lagging: 1, keptMessages: 1 });
    sleeper.resume();
    await runtime.settle();
    const got = await numbers();
    expect(got.at(-1)).toBe(19);
    expect(got.at(-2)).toBeLessThan(18);
    expect(news.stats.dropped).toBe(20 - got.length);
  });

  test("gets everything when it reads if the history has it", async () => {
    const { runtime, news, sleeper, numbers } = await slowScene("drop-oldest", { messages: 50 });
    sleeper.resume();
    await runtime.settle();
    expect(await numbers()).toEqual(Array.from({ length: 20 }, (_, n) => n));
    expect(news.stats).toMatchObject({ dropped: 0, lagging: 0, keptMessages: 20 });
  });

  test("may be removed by the hook that is notified, and gets nothing more", async () => {
    const { runtime, server, news, sleeper, reports, numbers } = await slowScene("drop-oldest");
    server.onSlowConsumer((connection) => void news.delete(connection));
    sleeper.resume();
    await runtime.settle();
    expect([reports.length, (await numbers()).includes(19), news.size]).toEqual([1, false, 1]);
    expect(news.stats).toMatchObject({ lagging: 0, keptMessages: 0 });
  });

  test("that subscribes again still gets what waits for it", async () => {
    const { runtime, news, sleeper, numbers } = await slowScene("drop-oldest", { messages: 50 });
    sleeper.call(TOPIC_SUBSCRIBE, { topic: "news" }, 2);
    await runtime.settle();
    expect(news.stats.lagging).toBe(1);
    sleeper.resume();
    await runtime.settle();
    expect([await numbers(), news.stats.dropped]).toEqual([Array.from({ length: 20 }, (_, n) => n), 0]);
  });

  test("may leave and come back, and then gets what comes afterwards alone", async () => {
    const { runtime, news, sleeper, numbers } = await slowScene("drop-oldest");
    sleeper.call(TOPIC_UNSUBSCRIBE, { topic: "news" }, 2);
    sleeper.call(TOPIC_SUBSCRIBE, { topic: "news" }, 3);
    await runtime.settle();
    expect(news.stats.lagging).toBe(0);
    sleeper.resume();
    await runtime.settle();
    await numbers();
    news.publish("20");
    await runtime.settle();
    expect([await numbers(), news.stats.dropped]).toEqual([[20], 0]);
  });

  test("keeps what others that don't read wait for, when it reads", async () => {
    const { runtime, raw, news, sleeper } = await slowScene("drop-oldest");
    const second = await raw("news");
    second.pause();
    for (let n = 20; n < 40; n += 1) {
      news.publish(`${n} ${KIB_70}`);
      await runtime.settle();
    }
    expect(news.stats).toMatchObject({ lagging: 2, keptMessages: 3 });
    sleeper.resume();
    await runtime.settle();
    expect(news.stats).toMatchObject({ lagging: 1, keptMessages: 3 });
    second.resume();
    await runtime.settle();
    expect((await dataOf(second)).slice(-3).map((text) => Number.parseInt(text as string, 10))).toEqual([37, 38, 39]);
    expect(news.stats).toMatchObject({ lagging: 0, keptMessages: 0 });
  });

  test("leaves nothing behind when its connection ends", async () => {
    const { runtime, news, sleeper } = await slowScene("drop-oldest");
    sleeper.reset();
    await runtime.settle();
    expect(news.stats).toMatchObject({ subscribers: 1, lagging: 0, keptMessages: 0 });
  });
});

describe("a subscriber that doesn't acknowledge chunks", () => {
  /** Returns a raw client without credit limits, and a topic that retains a large message. */
  async function chunkScene() {
    const sizes = { maxMessageBytes: 512 * 1024, sendQueueBytes: 600 * 1024, sendQueueSize: 50 };
    const scene = await topicScene(sizes);
    scene.server.rpc("ping", () => "pong");
    const news = scene.server.topic("news", { retain: 1 });
    news.publish("x".repeat(400 * 1024));
    const unlimited = Number.MAX_SAFE_INTEGER;
    const peer = await rawClient(scene.runtime, scene.port, {
      extensions: {
        ...Object.fromEntries(EXTENSIONS.map((name) => [name, true])),
        topic: true,
        credit: { frames: unlimited, bytes: unlimited },
        chunk: { messages: unlimited, bytes: unlimited },
      },
    });
    const [connection] = scene.server.connections as [Connection];
    return { ...scene, news, peer, connection };
  }

  test("and subscribes again and again holds up nobody, and fills no more than its send queue", async () => {
    const { runtime, join, news, peer, connection } = await chunkScene();
    for (let id = 1; id <= 200; id += 1) peer.call(TOPIC_SUBSCRIBE, { topic: "news" }, id);
    await runtime.settle();
    const other = await join();
    expect(await other.call("ping")).toBe("pong");
    expect(connection.bufferedBytes).toBeLessThan(1_100_000);
    expect(news.stats).toMatchObject({ subscribers: 1, lagging: 1 });
  });

  test("gets what it lags behind when it does", async () => {
    const { runtime, news, peer } = await chunkScene();
    for (let id = 1; id <= 10; id += 1) peer.call(TOPIC_SUBSCRIBE, { topic: "news" }, id);
    await runtime.settle();
    expect(news.stats.lagging).toBe(1);
    for (let n = 0; n < 100; n += 1) {
      peer.send(CHUNK_ACK_FRAME, { bytes: 64 * 1024 });
      await runtime.settle();
    }
    expect(news.stats.lagging).toBe(0);
  });

  test("in time gets a large message and more small ones than the server's queue takes", async () => {
    const { runtime, server, join } = await topicScene({ sendQueueSize: 5 });
    const news = server.topic("news", { history: { messages: 100 }, retain: 100 });
    const sent = [400_000, ...Array.from({ length: 50 }, (_, n) => n)];
    for (const length of sent) news.publish("x".repeat(length));
    const subscription = (await join()).subscribe<string>("news");
    await subscription.ready;
    await runtime.settle();
    expect((await taken(subscription)).map(({ length }) => length)).toEqual(sent);
  });
});

describe("a program that doesn't take its messages", () => {
  test.each([
    ["drop-oldest", [3, 4]],
    ["drop-newest", [1, 2]],
  ] as const)("with %s keeps as many as its buffer", async (slow, kept) => {
    const { runtime, server, join } = await topicScene();
    const news = server.topic("news");
    const subscription = (await join()).subscribe("news", { buffer: 2, slow });
    await subscription.ready;
    for (const n of [1, 2, 3, 4]) news.publish(n);
    await runtime.settle();
    expect([await taken(subscription), subscription.dropped]).toEqual([kept, 2]);
    news.publish(5);
    expect((await subscription.next()).value).toBe(5);
    expect(subscription.position).toBe(news.position);
  });

  test("keeps as many bytes as the receive queue", async () => {
    const { runtime, server, join } = await topicScene();
    const news = server.topic("news");
    const client = await join({ maxMessageBytes: 64 * 1024, receiveQueueBytes: 100 * 1024 });
    const subscription = client.subscribe<string>("news");
    await subscription.ready;
    for (let n = 0; n < 10; n += 1) {
      news.publish(`${n} ${"x".repeat(20_000)}`);
      await runtime.settle();
    }
    const got = await taken(subscription);
    expect(got.length).toBeLessThan(6);
    expect(got.at(-1)?.startsWith("9")).toBe(true);
    expect(subscription.dropped).toBe(10 - got.length);
  });
});

describe("a topic of which slow subscribers get the latest message", () => {
  test("sends the last retained message alone to a new subscriber, which isn't slow by that", async () => {
    const { runtime, server, join } = await topicScene();
    const reports: SlowConsumer[] = [];
    server.onSlowConsumer((_connection, report) => reports.push(report));
    const news = server.topic("news", { slow: "latest", retain: 3 });
    for (const n of [1, 2, 3]) news.publish(n);
    const subscription = (await join()).subscribe("news");
    await subscription.ready;
    await runtime.settle();
    expect([await taken(subscription), subscription.dropped]).toEqual([[3], 0]);
    expect([reports, news.stats.dropped]).toEqual([[], 0]);
  });

  test("sends the last message alone to a subscriber that returns, and says how many it missed", async () => {
    const { runtime, server, join, connectionOf } = await topicScene();
    const news = server.topic("news", { slow: "latest", history: { messages: 10 } });
    const client = await join();
    const subscription = client.subscribe<number>("news");
    const resumptions: unknown[] = [];
    subscription.onResume((resumption) => resumptions.push(resumption));
    await subscription.ready;
    void connectionOf(client).close("again", { reconnect: true });
    await runtime.settle();
    for (const n of [1, 2, 3]) news.publish(n);
    await runtime.advance(1000);
    expect([await taken(subscription), resumptions]).toEqual([[3], [{ recovered: false, missed: 2 }]]);
  });
});

describe("a subscriber that accepts small messages alone", () => {
  test("misses large ones, new and kept, which is reported, and gets the others", async () => {
    const { runtime, server, port, errors } = await topicScene();
    const news = server.topic("news", { retain: 2 });
    news.publish("x".repeat(5000));
    news.publish("kept");
    const extensions = { topic: true, limits: { message_bytes: 1024 } };
    const peer = await rawClient(runtime, port, { extensions });
    peer.call(TOPIC_SUBSCRIBE, { topic: "news" });
    await runtime.settle();
    expect([news.publish("x".repeat(5000)), news.publish("new")]).toEqual([0, 1]);
    expect(await dataOf(peer)).toEqual(["kept", "new"]);
    expect(news.stats).toMatchObject({ dropped: 2, lagging: 0 });
    // A connection's equal reports are combined.
    const message = expect.stringContaining(
      "Cannot send 'news': 5017 bytes exceed maxMessageBytes of the client, 1024",
    );
    expect(errors).toMatchObject([{ code: ErrorCode.MESSAGE_TOO_LARGE, message }]);
  });

  test("for its limit is reported after others have got the message, because a hook may publish as well", async () => {
    const { runtime, server, join } = await topicScene();
    const news = server.topic("news");
    server.onError(() => void news.publish("a client missed one"));
    const small = (await join({ maxMessageBytes: 1024 })).subscribe("news");
    const other = (await join()).subscribe("news");
    await Promise.all([small.ready, other.ready]);
    const large = "x".repeat(5000);
    news.publish(large);
    await runtime.settle();
    expect([await taken(small), small.dropped]).toEqual([["a client missed one"], 1]);
    expect([await taken(other), other.dropped]).toEqual([[large, "a client missed one"], 0]);
  });

  test("may be removed by the hook that is notified while it joins, and isn't present then", async () => {
    const { runtime, server, port, join } = await topicScene();
    const rooms = server.topics("room:*", { authorize: () => true, presence: true, retain: 2 });
    const room = rooms.topic("room:7");
    room.publish("x".repeat(5000));
    room.publish("small");
    const other = (await join()).subscribe("room:7");
    await other.ready;
    server.onError(() => void room.delete(server.connections.at(-1) as Connection));
    const extensions = { topic: true, limits: { message_bytes: 1024 } };
    const peer = await rawClient(runtime, port, { extensions });
    peer.call(TOPIC_SUBSCRIBE, { topic: "room:7" });
    expect((await peer.next(TOPIC_END_FRAME)).payload).toMatchObject({ code: ErrorCode.CANCELLED });
    expect([room.size, room.presence.length, await dataOf(peer)]).toEqual([1, 1, []]);
    peer.reset();
    await runtime.advance(150);
    expect([room.size, room.presence.length, other.presence?.size]).toEqual([1, 1, 1]);
  });
});
