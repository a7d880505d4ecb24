import * as v from "valibot";
import { describe, expect, test } from "vitest";
import type { Client, ClientInit } from "../../client/client.ts";
import type { Resumption, Subscription } from "../../client/topics/subscription.ts";
import { ErrorCode, RpcError } from "../../errors.ts";
import { CHUNK_ACK_FRAME } from "../../extensions/chunk.ts";
import {
  TOPIC_DATA_FRAME,
  TOPIC_PRESENCE_FRAME,
  TOPIC_START_FRAME,
  TOPIC_SUBSCRIBE,
} from "../../extensions/topics/topic.ts";
import { fakeRuntime } from "../../test-support/fake-runtime.ts";
import { gate } from "../../test-support/gate.ts";
import { outcome, testClient, testServer } from "../../test-support/peers.ts";
import { type MemoryPeer, RawServer, rawClient } from "../../test-support/raw-memory.ts";
import { EXTENSIONS } from "../../test-support/raw-peer.ts";
import type { SlowConsumer } from "../broadcast.ts";
import type { Connection } from "../connection.ts";
import type { ServerInit } from "../server.ts";

async function bench(options: Partial<ServerInit> = {}) {
  const runtime = fakeRuntime();
  const { server, errors, port } = await testServer(runtime, options);
  const join = async (clientOptions: Partial<ClientInit> = {}): Promise<Client> => {
    const { client } = testClient(runtime, { reconnect: { jitter: false, delayMs: 100 }, ...clientOptions });
    await client.connect();
    return client;
  };
  /** A raw client that is subscribed. */
  const raw = async (topic: string): Promise<MemoryPeer> => {
    const peer = await rawClient(runtime, port, { extensions: [...EXTENSIONS, "topic"] });
    peer.call(TOPIC_SUBSCRIBE, { topic });
    await peer.next(TOPIC_START_FRAME);
    return peer;
  };
  const connectionOf = (client: Client): Connection =>
    server.connections.find(({ session }) => session.token === client.sessionToken) as Connection;
  return { runtime, server, errors, port, join, raw, connectionOf };
}

/** Takes what has arrived. */
async function taken<T>(subscription: Subscription<T>): Promise<T[]> {
  const items: T[] = [];
  while (subscription.waiting > 0) items.push((await subscription.next()).value as T);
  return items;
}

/** Data of the TOPIC_DATA frames that arrived. */
async function dataOf(peer: MemoryPeer): Promise<unknown[]> {
  const frames = await peer.received();
  return frames.filter(({ type }) => type === TOPIC_DATA_FRAME).map(({ payload }) => payload?.["data"]);
}

describe("a topic", () => {
  test("delivers what is published to its subscribers alone, in order", async () => {
    const { runtime, server, join, connectionOf } = await bench();
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
    const { runtime, server, join } = await bench();
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
    const { server, join } = await bench();
    server.topic("sensors");
    const client = await join();
    const subscription = client.subscribe("sensor");
    const next = outcome(subscription.next());
    await expect(subscription.ready).rejects.toMatchObject({
      code: ErrorCode.NOT_FOUND,
      message: "Topic not found: sensor (did you mean 'sensors'?)",
    });
    expect(next).toMatchObject({ state: "rejected", error: { code: ErrorCode.NOT_FOUND } });
  });

  test("is NOT_FOUND on a server without topics", async () => {
    const { join } = await bench();
    const client = await join();
    await expect(client.subscribe("news").ready).rejects.toMatchObject({ code: ErrorCode.NOT_FOUND });
    await expect(client.publish("news", 1)).rejects.toMatchObject({ code: ErrorCode.NOT_FOUND });
  });

  test("is encoded once, however many subscribers it has", async () => {
    const { server, raw } = await bench();
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
    const { runtime, server, join, connectionOf } = await bench();
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

  test("keeps the order of large and small messages", async () => {
    const { runtime, server, join } = await bench();
    const news = server.topic("news");
    const client = await join();
    const subscription = client.subscribe<string>("news");
    await subscription.ready;
    const sent = [1, 300_000, 2, 100_000, 3, 4].map((length) => "x".repeat(length));
    for (const text of sent) news.publish(text);
    await runtime.settle();
    expect((await taken(subscription)).map(({ length }) => length)).toEqual(sent.map(({ length }) => length));
  });

  test("goes on after more messages than the first grant of credit", async () => {
    const { runtime, server, join } = await bench({ sendQueueSize: 10_000 });
    const news = server.topic("news");
    const client = await join({ receiveQueueSize: 10 });
    const subscription = client.subscribe<number>("news", { buffer: 1000 });
    await subscription.ready;
    for (let n = 0; n < 500; n += 1) news.publish(n);
    await runtime.settle();
    expect(await taken(subscription)).toEqual(Array.from({ length: 500 }, (_, n) => n));
  });

  test("ends: its subscriptions end, and its name is free", async () => {
    const { runtime, server, join } = await bench();
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
    const { server } = await bench();
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
      code(() => server.topic("room:*")),
      code(() => server.topics("room", { authorize: () => true })),
      code(() => server.topics("a*b*", { authorize: () => true })),
      code(() => server.topics("room:*", {} as never)),
      code(() => server.topic("other", { retain: -1 })),
      code(() => server.topic("other", { slow: "wait" as never })),
      code(() => server.topic("other", { histroy: {} } as never)),
    ]).toEqual([ErrorCode.INVALID_STATE, ...Array.from({ length: 8 }, () => ErrorCode.INVALID_CONFIG)]);
  });
});

describe("who may subscribe", () => {
  test.each([
    ["false", () => false, ErrorCode.PERMISSION_DENIED],
    ["a promise of false", async () => false, ErrorCode.PERMISSION_DENIED],
    ["an RpcError", () => Promise.reject(new RpcError(77, "no")), 77],
  ])("is refused by %s of authorize", async (_what, authorize, code) => {
    const { server, join } = await bench();
    const news = server.topic("news", { authorize });
    const client = await join();
    await expect(client.subscribe("news").ready).rejects.toMatchObject({ code });
    expect(news.size).toBe(0);
  });

  test("is decided by connection and name", async () => {
    const { server, join } = await bench();
    server.topics("room:*", { authorize: ({ info }, name) => name === `room:${info.name}` });
    const client = await join({ name: "ada" });
    await client.subscribe("room:ada").ready;
    await expect(client.subscribe("room:grace").ready).rejects.toMatchObject({ code: ErrorCode.PERMISSION_DENIED });
  });

  test("isn't subscribed if it leaves while authorize decides, and is if it comes back", async () => {
    const { runtime, server, join } = await bench();
    const decisions: (() => void)[] = [];
    const news = server.topic("news", {
      authorize: () => new Promise<boolean>((resolve) => decisions.push(() => resolve(true))),
    });
    const client = await join();
    const first = client.subscribe("news");
    await runtime.settle();
    first.close();
    await runtime.settle();
    decisions[0]?.();
    await runtime.settle();
    expect(news.size).toBe(0);
    const second = client.subscribe("news");
    await runtime.settle();
    second.close();
    const third = client.subscribe("news");
    await runtime.settle();
    for (const decide of decisions) decide();
    await third.ready;
    news.publish(1);
    await runtime.settle();
    expect([news.size, await taken(third), second.waiting]).toEqual([1, [1], 0]);
  });

  test("isn't subscribed if its connection ends while authorize decides", async () => {
    const { runtime, server, join } = await bench();
    const decision = gate<boolean>();
    const news = server.topic("news", { authorize: () => decision.promise });
    const client = await join();
    client.subscribe("news");
    await runtime.settle();
    await client.close();
    decision.open(true);
    await runtime.settle();
    expect(news.size).toBe(0);
  });

  test("may be subscribed to so many topics", async () => {
    const { server, join } = await bench({ maxSubscriptions: 2 });
    server.topics("room:*", { authorize: async () => true });
    const client = await join();
    const first = client.subscribe("room:1");
    await Promise.all([first.ready, client.subscribe("room:2").ready]);
    await expect(client.subscribe("room:3").ready).rejects.toMatchObject({
      code: ErrorCode.TOO_MANY_SUBSCRIPTIONS,
      details: { limit: 2 },
    });
    first.close();
    await client.subscribe("room:4").ready;
  });
});

describe("publishing by clients", () => {
  test("needs permission", async () => {
    const { runtime, server, join } = await bench();
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
    const { runtime, server, join } = await bench();
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

  test("publishes what the schema puts out, and uses that of the contract", async () => {
    const contract = { topics: { "room:*": v.object({ text: v.pipe(v.string(), v.trim()) }) } };
    const { runtime, server, join } = await bench({ contract });
    server.topics("room:*", { authorize: () => true, publish: true });
    const client = await join();
    const subscription = client.subscribe("room:7");
    await subscription.ready;
    await client.publish("room:7", { text: "  hello " });
    await runtime.settle();
    expect(await taken(subscription)).toEqual([{ text: "hello" }]);
  });

  test("of data that can't be sent throws before anything is sent", async () => {
    const { runtime, server, join } = await bench();
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

describe("history", () => {
  test("retained messages go to each new subscriber, the last ones", async () => {
    const { runtime, server, join } = await bench();
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
    const { runtime, server, join } = await bench();
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
    const { runtime, server, join } = await bench();
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
    const { runtime, server, join } = await bench();
    server.topic("news", { history: { messages: 10 } }).publish(1);
    const subscription = (await join()).subscribe("news", { since: "0123456789abcdef.1:0" });
    await subscription.ready;
    await runtime.settle();
    expect([await taken(subscription), subscription.recovered]).toEqual([[], false]);
  });

  test("lets a subscription return after a reconnect without a gap", async () => {
    const { runtime, server, join, connectionOf } = await bench();
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
    const { runtime, server, join, connectionOf } = await bench();
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

describe("members", () => {
  test("that the server adds hear of it, and receive", async () => {
    const { runtime, server, join, connectionOf } = await bench();
    const lobby = server.topic("lobby");
    const client = await join();
    const begun: Subscription[] = [];
    client.onSubscribed((subscription) => begun.push(subscription));
    expect([lobby.add(connectionOf(client)), lobby.add(connectionOf(client))]).toEqual([true, false]);
    lobby.publish("hello");
    await runtime.settle();
    expect(begun.map(({ topic }) => topic)).toEqual(["lobby"]);
    const [subscription] = begun as [Subscription];
    expect(await taken(subscription)).toEqual(["hello"]);
    expect([lobby.has(connectionOf(client)), lobby.delete(connectionOf(client))]).toEqual([true, true]);
    expect([lobby.has(connectionOf(client)), lobby.delete(connectionOf(client))]).toEqual([false, false]);
    lobby.publish("unheard");
    await runtime.settle();
    expect(await subscription.next()).toEqual({ done: true, value: undefined });
  });

  test("can be added by a connect hook, again after each reconnect", async () => {
    const { runtime, server } = await bench();
    const lobby = server.topic("lobby", { history: { messages: 10 } });
    server.onClientConnect((connection) => void lobby.add(connection));
    const { client } = testClient(runtime, { reconnect: { jitter: false, delayMs: 100 } });
    const begun: Subscription[] = [];
    client.onSubscribed((subscription) => begun.push(subscription));
    await client.connect();
    await runtime.settle();
    void server.connections[0]?.close("again", { reconnect: true });
    await runtime.advance(1000);
    lobby.publish("hello");
    await runtime.settle();
    expect(begun.length).toBe(1);
    expect(await taken(begun[0] as Subscription)).toEqual(["hello"]);
  });

  test("end with their connection; a closed one can't be added", async () => {
    const { runtime, server, join, connectionOf } = await bench();
    const lobby = server.topic("lobby");
    const client = await join();
    const connection = connectionOf(client);
    lobby.add(connection);
    await client.close();
    await runtime.settle();
    expect(lobby.size).toBe(0);
    expect(() => lobby.add(connection)).toThrow(expect.objectContaining({ code: ErrorCode.CONNECTION_CLOSED }));
    expect(lobby.delete(connection)).toBe(false);
  });

  test("must have topics", async () => {
    const { runtime, server, port } = await bench();
    const lobby = server.topic("lobby");
    await rawClient(runtime, port);
    const [connection] = server.connections as [Connection];
    expect(() => lobby.add(connection)).toThrow(expect.objectContaining({ code: ErrorCode.PEER_UNSUPPORTED }));
  });

  test("of a server without topics fail with a code", async () => {
    const runtime = fakeRuntime();
    const raw = await RawServer.start(runtime);
    const { client } = testClient(runtime);
    const connecting = client.connect();
    await raw.admit({ extensions: EXTENSIONS });
    await connecting;
    await expect(client.subscribe("news").ready).rejects.toMatchObject({ code: ErrorCode.PEER_UNSUPPORTED });
    await expect(client.publish("news", 1)).rejects.toMatchObject({ code: ErrorCode.PEER_UNSUPPORTED });
  });

  test("are subscribed once: a client can't iterate a topic twice", async () => {
    const { server, join } = await bench();
    server.topic("news");
    const client = await join();
    const first = client.subscribe("news");
    expect(() => client.subscribe("news")).toThrow(expect.objectContaining({ code: ErrorCode.INVALID_STATE }));
    first.close();
    await client.subscribe("news").ready;
  });

  test("that subscribe before they are connected are subscribed when they are", async () => {
    const { runtime, server } = await bench();
    const news = server.topic("news");
    const { client } = testClient(runtime);
    const subscription = client.subscribe("news");
    await client.connect();
    await subscription.ready;
    news.publish(1);
    await runtime.settle();
    expect(await taken(subscription)).toEqual([1]);
  });

  test("whose client is closed end, and those asked for afterwards are refused", async () => {
    const { server, join } = await bench();
    server.topic("news");
    const client = await join();
    const subscription = client.subscribe("news");
    await subscription.ready;
    const next = outcome(subscription.next());
    await client.close();
    expect(next).toMatchObject({ state: "resolved", value: { done: true } });
    await expect(client.subscribe("news").ready).rejects.toMatchObject({ code: ErrorCode.CONNECTION_CLOSED });
  });

  test("whose client gives up reconnecting end with its error", async () => {
    const { runtime, server, join } = await bench();
    server.topic("news");
    const client = await join({ reconnect: { attempts: 1, jitter: false, delayMs: 100 } });
    const subscription = client.subscribe("news");
    await subscription.ready;
    const next = outcome(subscription.next());
    const stopped = server.stop({ drainMs: 0 });
    await runtime.advance(1000);
    await stopped;
    expect(next).toMatchObject({ state: "rejected", error: { code: ErrorCode.RECONNECT_FAILED } });
  });

  test("that send frames of a topic are disconnected", async () => {
    const { server, raw } = await bench();
    server.topic("news");
    const peer = await raw("news");
    peer.send(TOPIC_DATA_FRAME, { offset: 1, data: 1 });
    expect((await peer.next(0x000e)).payload).toMatchObject({ code: ErrorCode.UNEXPECTED_FRAME });
    peer.reset();
  });
});

describe("topics of a pattern", () => {
  test("exist while they have subscribers", async () => {
    const { runtime, server, join } = await bench();
    const rooms = server.topics("room:*", { authorize: () => true });
    const client = await join();
    const names = (): string[] => rooms.all.map(({ name }) => name);
    const first = client.subscribe("room:1");
    const second = client.subscribe("room:2");
    await Promise.all([first.ready, second.ready]);
    expect(names()).toEqual(["room:1", "room:2"]);
    expect(rooms.topic("room:1").publish("x")).toBe(1);
    expect(rooms.topic("room:3").publish("x")).toBe(0);
    first.close();
    await runtime.settle();
    expect(names()).toEqual(["room:2"]);
    await client.close();
    await runtime.settle();
    expect(names()).toEqual([]);
  });

  test("stay for as long as their history may recover somebody", async () => {
    const { runtime, server, join } = await bench();
    const rooms = server.topics("room:*", { authorize: () => true, history: { ageMs: 10_000 } });
    const client = await join();
    const first = client.subscribe("room:1");
    await first.ready;
    rooms.topic("room:1").publish(1);
    await runtime.settle();
    await taken(first);
    const since = first.position as string;
    first.close();
    await runtime.settle();
    rooms.topic("room:1").publish(2);
    const second = client.subscribe("room:1", { since });
    await second.ready;
    await runtime.settle();
    expect([await taken(second), second.recovered]).toEqual([[2], true]);
    second.close();
    await runtime.advance(9000);
    expect(rooms.all.length).toBe(1);
    await runtime.advance(2000);
    expect(rooms.all.length).toBe(0);
    const third = client.subscribe("room:1", { since });
    await third.ready;
    expect(third.recovered).toBe(false);
  });

  test.each([
    ["invalid", { text: 1 }],
    ["too large", { text: "x".repeat(2000) }],
  ])("that keep messages aren't left behind by a publish that is %s", async (_what, data) => {
    const { server, join } = await bench({ maxMessageBytes: 1024 });
    const schema = v.object({ text: v.string() });
    const rooms = server.topics("room:*", { authorize: () => true, publish: true, history: { messages: 5 }, schema });
    const client = await join();
    await client.publish("room:1", { text: "kept" });
    if (typeof data.text === "number") await expect(client.publish("room:2", data)).rejects.toThrow();
    expect(() => rooms.topic("room:3").publish(data as never)).toThrow();
    expect(rooms.all.map(({ name }) => name)).toEqual(["room:1"]);
  });

  test("give way to a topic of their name", async () => {
    const { server, join } = await bench();
    server.topics("room:*", { authorize: () => false });
    server.topic("room:lobby");
    const client = await join();
    await client.subscribe("room:lobby").ready;
    await expect(client.subscribe("room:1").ready).rejects.toMatchObject({ code: ErrorCode.PERMISSION_DENIED });
    await expect(client.subscribe("room:").ready).rejects.toMatchObject({ code: ErrorCode.NOT_FOUND });
  });

  test("end with the pattern", async () => {
    const { runtime, server, join } = await bench();
    const rooms = server.topics("room:*", { authorize: () => true });
    const client = await join();
    const subscription = client.subscribe("room:1");
    await subscription.ready;
    rooms.close();
    await runtime.settle();
    expect(await subscription.next()).toEqual({ done: true, value: undefined });
    await expect(client.subscribe("room:2").ready).rejects.toMatchObject({ code: ErrorCode.NOT_FOUND });
  });
});

describe("a subscriber that doesn't read", () => {
  const KIB_70 = "x".repeat(70_000);

  async function slowScene(slow: "drop-oldest" | "drop-newest" | "latest" | "disconnect", slowBuffer = 3) {
    const scene = await bench({ sendQueueSize: 5 });
    const reports: SlowConsumer[] = [];
    scene.server.onSlowConsumer((_connection, report) => reports.push(report));
    const news = scene.server.topic("news", { slow, slowBuffer });
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
    expect(reports.length).toBe(dropped);
    expect(server.connections.some(({ stats }) => stats.dropped === dropped)).toBe(true);
    sleeper.resume();
    await runtime.settle();
    const got = await numbers();
    expect(got).toEqual(Array.from({ length: 20 - dropped }, (_, n) => n));
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

  test("gets only the latest", async () => {
    const { runtime, news, sleeper, numbers } = await slowScene("latest");
    sleeper.resume();
    await runtime.settle();
    const got = await numbers();
    expect(got.at(-1)).toBe(19);
    expect(got.at(-2)).toBeLessThan(18);
    expect(news.stats.dropped).toBe(20 - got.length);
  });

  test("leaves nothing behind when its connection ends", async () => {
    const { runtime, news, sleeper } = await slowScene("drop-oldest");
    sleeper.reset();
    await runtime.settle();
    expect(news.stats).toMatchObject({ subscribers: 1, lagging: 0, keptMessages: 0 });
  });
});

describe("a subscriber that doesn't acknowledge chunks", () => {
  /** A raw client that may be sent anything, and a topic that retains a large message. */
  async function chunkScene() {
    const sizes = { maxMessageBytes: 512 * 1024, sendQueueBytes: 600 * 1024, sendQueueSize: 50 };
    const scene = await bench(sizes);
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
    const { runtime, server, join } = await bench({ sendQueueSize: 5 });
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
    const { runtime, server, join } = await bench();
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
    const { runtime, server, join } = await bench();
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

describe("presence", () => {
  async function present() {
    const scene = await bench();
    const rooms = scene.server.topics("room:*", {
      presence: true,
      authorize: ({ info }) => ({ user: info.name }),
    });
    const enter = async (name: string, presence = true): Promise<Subscription> => {
      const subscription = (await scene.join({ name })).subscribe("room:7", { presence });
      await subscription.ready;
      return subscription;
    };
    return { ...scene, room: rooms.topic("room:7"), enter };
  }

  test("begins with everybody, then come changes, by connection and by user", async () => {
    const { runtime, room, enter } = await present();
    const ada = await enter("ada");
    const adaToo = await enter("ada");
    await runtime.advance(150);
    const changes: unknown[] = [];
    ada.presence?.onChange(({ joined, left, usersJoined, usersLeft }) =>
      changes.push([joined.map(({ user }) => user), left.map(({ user }) => user), usersJoined, usersLeft]),
    );
    expect([ada.presence?.users, ada.presence?.size, room.presence.length]).toEqual([["ada"], 2, 2]);
    const grace = await enter("grace");
    await runtime.advance(150);
    expect(grace.presence?.users).toEqual(["ada", "grace"]);
    adaToo.close();
    await runtime.advance(150);
    grace.close();
    await runtime.advance(150);
    expect(changes).toEqual([
      [["ada", "ada"], [], ["ada"], []],
      [["grace"], [], ["grace"], []],
      [[], ["ada"], [], []],
      [[], ["grace"], [], ["grace"]],
    ]);
    expect(grace.presence?.size).toBe(0);
  });

  test("gathers changes: many that come at once are one frame, and who comes and goes isn't seen", async () => {
    const { runtime, raw, enter } = await present();
    const watcher = await raw("room:7");
    await runtime.advance(150);
    const count = (): number => watcher.frames.all.filter(({ type }) => type === TOPIC_PRESENCE_FRAME).length;
    expect(count()).toBe(1);
    for (let n = 0; n < 20; n += 1) await enter(`user ${n}`);
    (await enter("ghost")).close();
    await runtime.advance(150);
    expect(count()).toBe(2);
    const { payload } = watcher.frames.all.findLast(({ type }) => type === TOPIC_PRESENCE_FRAME) ?? {};
    expect(payload).toMatchObject({ reset: false, left: [] });
    const users = ((payload?.["joined"] ?? []) as [string, string][]).map(([, user]) => user);
    expect(users).toEqual(Array.from({ length: 20 }, (_, n) => `user ${n}`));
  });

  test("isn't told to those that don't want it, but of them", async () => {
    const { runtime, enter } = await present();
    const passive = await enter("passive", false);
    const ada = await enter("ada");
    await runtime.advance(150);
    expect([passive.presence, ada.presence?.users]).toEqual([null, ["passive", "ada"]]);
  });

  test("is whole again after a reconnect", async () => {
    const { runtime, enter, server } = await present();
    const ada = await enter("ada");
    const grace = await enter("grace");
    await runtime.advance(150);
    const connection = server.connections.find(({ info }) => info.name === "ada");
    void connection?.close("again", { reconnect: true });
    await runtime.settle();
    expect(ada.presence?.size).toBe(0);
    await runtime.advance(1000);
    expect([ada.presence?.users.toSorted(), grace.presence?.users.toSorted()]).toEqual([
      ["ada", "grace"],
      ["ada", "grace"],
    ]);
  });

  test("of a list of a thousand comes in parts", async () => {
    const { runtime, server, raw, port } = await bench({ maxConnections: 2000 });
    const lobby = server.topic("lobby", { presence: true });
    for (let n = 0; n < 600; n += 1) await rawClient(runtime, port, { extensions: ["topic"], passwordHash: false });
    for (const connection of server.connections) lobby.add(connection);
    await runtime.advance(150);
    const watcher = await raw("lobby");
    await runtime.advance(150);
    const lists = watcher.frames.all.filter(({ type }) => type === TOPIC_PRESENCE_FRAME).map(({ payload }) => payload);
    const ids = lists.flatMap((list) => ((list?.["joined"] ?? []) as [string][]).map(([id]) => id));
    expect(lists.map((list) => list?.["reset"])).toEqual([true, ...lists.slice(1).map(() => false)]);
    expect([lists.length > 1, new Set(ids).size, ids.length]).toEqual([true, 601, 601]);
  });

  test("comes in parts that server and clients accept, however small their limits are", async () => {
    const { runtime, server, port, errors } = await bench({ maxMessageBytes: 4096, sendQueueSize: 5000 });
    const lobby = server.topic("lobby", { presence: true });
    const enter = async (limit: number): Promise<MemoryPeer> => {
      const extensions = { topic: true, limits: { message_bytes: limit } };
      const peer = await rawClient(runtime, port, { extensions });
      lobby.add(server.connections.at(-1) as Connection, {
        user: `${server.connections.length} ${"\u20ac".repeat(250)}`,
      });
      return peer;
    };
    const watchers = [await enter(1024), await enter(3000), await enter(100_000)];
    await runtime.advance(150);
    for (let n = 0; n < 30; n += 1) await enter(4096);
    await runtime.advance(150);
    const seen = watchers.map((watcher) => {
      const lists = watcher.frames.all.filter(({ type }) => type === TOPIC_PRESENCE_FRAME);
      const users = new Set(
        lists.flatMap(({ payload }) => payload?.["joined"] as [string, string][]).map(([id]) => id),
      );
      return [users.size, Math.max(...lists.map(({ payloadBytes }) => payloadBytes.length))] as const;
    });
    expect(seen.map(([users]) => users)).toEqual([33, 33, 33]);
    expect(seen.map(([, bytes], index) => bytes <= ([1024, 1024, 4096][index] as number))).toEqual([true, true, true]);
    expect(errors).toEqual([]);
  });
});
