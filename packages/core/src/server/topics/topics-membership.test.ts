import { describe, expect, test } from "vitest";
import type { Client } from "../../client/client.ts";
import type { Subscription } from "../../client/topics/subscription.ts";
import { ErrorCode, RpcError } from "../../errors.ts";
import { TOPIC_DATA_FRAME } from "../../extensions/topics/topic.ts";
import { gate } from "../../test-support/gate.ts";
import { clientAtRawServer, outcome, testClient } from "../../test-support/peers.ts";
import { rawClient } from "../../test-support/raw-memory.ts";
import { EXTENSIONS } from "../../test-support/raw-peer.ts";
import { taken, topicScene } from "../../test-support/topic-scene.ts";
import { EventLog } from "../../testing/event-log.ts";
import type { Connection } from "../connection.ts";

describe("who may subscribe", () => {
  test.each([
    ["false", () => false, ErrorCode.PERMISSION_DENIED],
    ["a promise of false", async () => false, ErrorCode.PERMISSION_DENIED],
    ["an RpcError", () => Promise.reject(new RpcError(77, "no")), 77],
  ])("is refused by %s of authorize", async (_what, authorize, code) => {
    const { server, join } = await topicScene();
    const news = server.topic("news", { authorize });
    const client = await join();
    await expect(client.subscribe("news").ready).rejects.toMatchObject({ code });
    expect(news.size).toBe(0);
  });

  test.each([
    ['"yes"', "yes"],
    ["1", 1],
    ["an object", { usr: "ada" }],
  ])("isn't subscribed if authorize returns %s, and the server hears of it", async (text, verdict) => {
    const { server, join } = await topicScene();
    const failed = new EventLog<string>();
    server.onError(({ message }) => failed.add(message));
    server.topic("news", { authorize: () => verdict as never });
    const client = await join();
    await expect(client.subscribe("news").ready).rejects.toMatchObject({ code: ErrorCode.INTERNAL });
    const message = `authorize must return true, false or { user } for topic 'news', got ${text}`;
    expect(await failed.next()).toBe(message);
  });

  test.each([
    ["a client", "an object", (client: Client) => client],
    ["nothing", "undefined", () => undefined],
  ])("must be a connection of a server to be added, and not %s", async (_what, text, wrong) => {
    const { server, join } = await topicScene();
    const news = server.topic("news");
    const client = await join();
    expect(() => news.add(wrong(client) as never)).toThrow(
      expect.objectContaining({
        code: ErrorCode.INVALID_CONFIG,
        message: `Cannot add to topic 'news': give it one of server.connections, got ${text}`,
      }),
    );
  });

  test("is decided by connection and name", async () => {
    const { server, join } = await topicScene();
    server.topics("room:*", { authorize: ({ info }, name) => name === `room:${info.name}` });
    const client = await join({ name: "ada" });
    await client.subscribe("room:ada").ready;
    await expect(client.subscribe("room:grace").ready).rejects.toMatchObject({ code: ErrorCode.PERMISSION_DENIED });
  });

  test("isn't subscribed if it leaves while authorize decides, and is if it comes back", async () => {
    const { runtime, server, join } = await topicScene();
    const decisions: (() => void)[] = [];
    const news = server.topic("news", {
      authorize: () => new Promise<boolean>((resolve) => decisions.push(() => resolve(true))),
    });
    server.topic("other");
    const client = await join();
    await client.subscribe("other").ready;
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
    const { runtime, server, join } = await topicScene();
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

  test("isn't subscribed to a topic that ends while authorize decides", async () => {
    const { runtime, server, join } = await topicScene();
    const decision = gate<boolean>();
    const news = server.topic("news", { authorize: () => decision.promise });
    const subscription = (await join()).subscribe("news");
    await runtime.settle();
    news.close();
    decision.open(true);
    await expect(subscription.ready).rejects.toMatchObject({ code: ErrorCode.INVALID_STATE });
    expect(news.size).toBe(0);
  });

  test("may be subscribed to so many topics", async () => {
    const { server, join } = await topicScene({ maxSubscriptions: 2 });
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

  test("may ask for no more topics than it may be subscribed to while authorize decides", async () => {
    const { runtime, server, join } = await topicScene({ maxSubscriptions: 2 });
    const decision = gate<boolean>();
    server.topics("room:*", { authorize: () => decision.promise });
    const client = await join();
    const asked = [client.subscribe("room:1"), client.subscribe("room:2")];
    await runtime.settle();
    await expect(client.subscribe("room:3").ready).rejects.toMatchObject({ code: ErrorCode.TOO_MANY_SUBSCRIPTIONS });
    decision.open(true);
    await Promise.all(asked.map(({ ready }) => ready));
  });

  test("may subscribe again to the last topic that it may be subscribed to", async () => {
    const { server, join } = await topicScene({ maxSubscriptions: 1 });
    const room = server.topic("room", { authorize: async () => true });
    const client = await join();
    const first = client.subscribe("room");
    await first.ready;
    const second = client.subscribe("room");
    await second.ready;
    room.publish("hello");
    expect([await first.next(), await second.next()]).toMatchObject([{ value: "hello" }, { value: "hello" }]);
    await expect(client.subscribe("other").ready).rejects.toMatchObject({ code: ErrorCode.NOT_FOUND });
  });
});

describe("members", () => {
  test("that the server adds are notified of it, and receive", async () => {
    const { runtime, server, join, connectionOf } = await topicScene();
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
    const { runtime, server } = await topicScene();
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
    const { runtime, server, join, connectionOf } = await topicScene();
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
    const { runtime, server, port } = await topicScene();
    const lobby = server.topic("lobby");
    await rawClient(runtime, port);
    const [connection] = server.connections as [Connection];
    expect(() => lobby.add(connection)).toThrow(expect.objectContaining({ code: ErrorCode.PEER_UNSUPPORTED }));
  });

  test("of a server without topics fail with a code", async () => {
    const { client } = await clientAtRawServer({ extensions: EXTENSIONS });
    await expect(client.subscribe("news").ready).rejects.toMatchObject({ code: ErrorCode.PEER_UNSUPPORTED });
    await expect(client.publish("news", 1)).rejects.toMatchObject({ code: ErrorCode.PEER_UNSUPPORTED });
  });

  test("that subscribe before they are connected are subscribed when they are", async () => {
    const { runtime, server } = await topicScene();
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
    const { server, join } = await topicScene();
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
    const { runtime, server, join } = await topicScene();
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
    const { server, raw } = await topicScene();
    server.topic("news");
    const peer = await raw("news");
    peer.send(TOPIC_DATA_FRAME, { offset: 1, data: 1 });
    expect((await peer.next(0x000e)).payload).toMatchObject({ code: ErrorCode.UNEXPECTED_FRAME });
    peer.reset();
  });
});
