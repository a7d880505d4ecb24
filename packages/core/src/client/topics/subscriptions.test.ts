import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { ErrorCode } from "../../errors.ts";
import {
  TOPIC_DATA_FRAME,
  TOPIC_END_FRAME,
  TOPIC_PRESENCE_FRAME,
  TOPIC_START_FRAME,
  TOPIC_SUBSCRIBE,
  TOPIC_UNSUBSCRIBE,
} from "../../extensions/topics/topic.ts";
import { clientAtRawServer, outcome } from "../../test-support/peers.ts";
import type { MemoryPeer } from "../../test-support/raw-memory.ts";
import { EXTENSIONS } from "../../test-support/raw-peer.ts";
import { taken, topicScene } from "../../test-support/topic-scene.ts";
import { Type } from "../../testing/raw-frames.ts";
import type { ClientInit } from "../client.ts";
import type { PresenceChange } from "./presence-view.ts";
import type { Subscription } from "./subscription.ts";

const WITH_TOPICS = Object.fromEntries([...EXTENSIONS, "topic"].map((name) => [name, true]));

/** Connects a client to a raw server. */
async function rawScene(options: Partial<ClientInit> = {}, offer: Partial<Record<string, unknown>> = {}) {
  const login = { extensions: { ...WITH_TOPICS, ...offer } };
  const reconnect = { jitter: false, delayMs: 100 };
  const { runtime, raw, client, errors, peer } = await clientAtRawServer(login, { reconnect, ...options });
  const admit = (): Promise<MemoryPeer> => raw.admit(login);
  /** Starts the client's next subscription as topic 1. */
  const start = async (from: MemoryPeer = peer, presence = false): Promise<void> => {
    const { id, topic, token } = await asked(from);
    from.send(TOPIC_START_FRAME, { topic, epoch: "e", offset: 0, presence, token }, { id: 1 });
    from.send(Type.RPC_RESPONSE, { success: true, result: null }, { id });
    await runtime.settle();
  };
  return { runtime, client, errors, peer, admit, start };
}

/** Resolves with the next subscribe call. */
async function asked(peer: MemoryPeer): Promise<{ id: bigint; topic: unknown; token: unknown }> {
  const { id, payload } = await peer.next(Type.RPC_REQUEST);
  expect(payload?.["method"]).toBe(TOPIC_SUBSCRIBE);
  const params = payload?.["params"] as Record<string, unknown>;
  return { id, topic: params["topic"], token: params["token"] };
}

/** Returns the methods of the received calls. */
async function methodsOf(peer: MemoryPeer): Promise<unknown[]> {
  const frames = await peer.received();
  return frames.filter(({ type }) => type === Type.RPC_REQUEST).map(({ payload }) => payload?.["method"]);
}

describe("a subscription", () => {
  test.each([
    ["a name that isn't a string", 5, {}, "The name of a topic must be a string of 1 to 256 characters, got"],
    ["an empty name", "", {}, "The name of a topic must be a string of 1 to 256 characters, got"],
    [
      "a handler",
      "news",
      () => undefined,
      "got a function; messages are read by `for await (const data of subscription)`",
    ],
    ["a buffer of 0", "news", { buffer: 0 }, "buffer must be an integer of 1 or more for 'news', got"],
    ["a buffer of 1.5", "news", { buffer: 1.5 }, "buffer must be an integer of 1 or more for 'news', got"],
    ["an unknown policy", "news", { slow: "wait" }, 'slow must be "drop-oldest" or "drop-newest" for \'news\', got'],
    ["a position without an offset", "news", { since: "abc" }, "since must be the position of a subscription"],
    ["a position with a huge offset", "news", { since: "e:99999999999999999999" }, "since must be the position"],
  ])("with %s is INVALID_CONFIG, and a valid request works afterwards", async (_what, name, options, message) => {
    const { server, join } = await topicScene();
    server.topic("news");
    const client = await join();
    expect(() => client.subscribe(name as string, options as object)).toThrow(
      expect.objectContaining({ code: ErrorCode.INVALID_CONFIG, message: expect.stringContaining(message) }),
    );
    await client.subscribe("news").ready;
  });

  test("accepts the position of a subscription that hasn't started as since", async () => {
    const { client, runtime, peer } = await rawScene();
    const { position } = client.subscribe("old");
    client.subscribe("news", { since: position });
    await runtime.settle();
    const frames = await peer.received();
    const asked = frames.map(({ payload }) => payload?.["params"] as { topic?: string; since?: string } | undefined);
    expect([position, asked.find((params) => params?.topic === "news")?.since]).toEqual([null, undefined]);
  });

  test("has no position before it has started, and can be closed twice", async () => {
    const { client, runtime, peer } = await rawScene();
    const subscription = client.subscribe("news");
    expect(subscription.position).toBeNull();
    subscription.close();
    subscription.close();
    await runtime.settle();
    expect(await methodsOf(peer)).toEqual([TOPIC_SUBSCRIBE, TOPIC_UNSUBSCRIBE]);
    await expect(subscription.ready).rejects.toMatchObject({ code: ErrorCode.CANCELLED });
  });

  test("is ready when its call has been answered, even if it has started before", async () => {
    const { client, runtime, peer } = await rawScene();
    const subscription = client.subscribe("news");
    const ready = outcome(subscription.ready);
    const { id, topic, token } = await asked(peer);
    peer.send(TOPIC_START_FRAME, { topic, epoch: "e", offset: 0, presence: false, token }, { id: 1 });
    await runtime.settle();
    expect([subscription.isLive, ready.state]).toEqual([true, "pending"]);
    peer.send(Type.RPC_RESPONSE, { success: true, result: null }, { id });
    await runtime.settle();
    expect(ready.state).toBe("resolved");
  });

  test("that is rejected throws the error once to a later reader and is then done", async () => {
    const { join } = await topicScene();
    const subscription = (await join()).subscribe("news");
    await expect(subscription.ready).rejects.toMatchObject({ code: ErrorCode.NOT_FOUND });
    await expect(subscription.next()).rejects.toMatchObject({ code: ErrorCode.NOT_FOUND });
    expect(await subscription.next()).toEqual({ done: true, value: undefined });
  });

  test("to a netconduit server fails with PEER_UNSUPPORTED and an explanation", async () => {
    const { client } = await clientAtRawServer({ extensions: null, passwordHash: true }, { allowPasswordHash: true });
    await expect(client.subscribe("news").ready).rejects.toMatchObject({
      code: ErrorCode.PEER_UNSUPPORTED,
      message: "Cannot subscribe to 'news': a netconduit server has none (extension 'topic')",
    });
  });

  test("ignores repeated messages, and messages and ends of unknown topics", async () => {
    const { runtime, client, peer, start } = await rawScene();
    const subscription = client.subscribe("news");
    await start();
    for (const offset of [1, 2, 1, 2, 3]) peer.send(TOPIC_DATA_FRAME, { offset, data: offset }, { id: 1 });
    peer.send(TOPIC_DATA_FRAME, { offset: 4, data: "other" }, { id: 2 });
    peer.send(TOPIC_END_FRAME, { code: 1, reason: "" }, { id: 2 });
    await runtime.settle();
    expect([await taken(subscription), subscription.dropped, subscription.isLive]).toEqual([[1, 2, 3], 0, true]);
  });

  test("is no longer recovered when the server omits a part of the missed messages", async () => {
    const { runtime, client, peer } = await rawScene();
    const subscription = client.subscribe("news", { since: "e:5" });
    const { token } = await asked(peer);
    peer.send(TOPIC_START_FRAME, { topic: "news", epoch: "e", offset: 5, presence: false, token }, { id: 1 });
    peer.send(TOPIC_DATA_FRAME, { offset: 6, data: 6 }, { id: 1 });
    await runtime.settle();
    expect(subscription.recovered).toBe(true);
    peer.send(TOPIC_DATA_FRAME, { offset: 9, data: 9 }, { id: 1 });
    await runtime.settle();
    expect([await taken(subscription), subscription.recovered, subscription.dropped]).toEqual([[6, 9], false, 2]);
  });

  test("whose server has lost messages that it received continues at the server's position", async () => {
    const { runtime, client, peer, admit, start } = await rawScene();
    const subscription = client.subscribe("news");
    const resumptions: unknown[] = [];
    subscription.onResume((resumption) => resumptions.push(resumption));
    await start();
    for (const offset of [1, 2, 3]) peer.send(TOPIC_DATA_FRAME, { offset, data: `old ${offset}` }, { id: 1 });
    await runtime.settle();
    expect(await taken(subscription)).toEqual(["old 1", "old 2", "old 3"]);
    peer.reset();
    await runtime.advance(150);
    const next = await admit();
    const { topic, token } = await asked(next);
    next.send(TOPIC_START_FRAME, { topic, epoch: "e", offset: 1, presence: false, lost: true, token }, { id: 1 });
    for (const offset of [2, 3]) next.send(TOPIC_DATA_FRAME, { offset, data: `new ${offset}` }, { id: 1 });
    await runtime.settle();
    expect([resumptions, await taken(subscription)]).toEqual([
      [{ recovered: false, missed: null }],
      ["new 2", "new 3"],
    ]);
    expect(subscription.position).toBe("e:3");
  });

  test("waits for the answer to its own call if another one starts its topic at an earlier position", async () => {
    const { runtime, client, peer } = await rawScene();
    const later = client.subscribe("news", { since: "e:10" });
    const first = await asked(peer);
    const limited = { code: ErrorCode.RATE_LIMITED, success: false, error: "slower", details: { retry_after: 2 } };
    peer.send(Type.RPC_ERROR, limited, { id: first.id });
    const earlier = client.subscribe("news", { since: "e:5" });
    const second = await asked(peer);
    const begin = (offset: number, token: unknown): void => {
      peer.send(TOPIC_START_FRAME, { topic: "news", epoch: "e", offset, presence: false, token }, { id: 1 });
    };
    begin(5, second.token);
    await runtime.settle();
    expect([earlier.isLive, later.isLive]).toEqual([true, false]);
    await runtime.advance(2100);
    begin(10, (await asked(peer)).token);
    await runtime.settle();
    expect([later.isLive, later.recovered]).toEqual([true, true]);
  });

  test("reports invalid data once per second and topic, with its number", async () => {
    const { runtime, client, peer, start } = await rawScene({ contract: { topics: { news: v.string() } } });
    const counts: unknown[] = [];
    client.onError((_error, { stage, name, count }) => counts.push([stage, name, count]));
    const subscription = client.subscribe("news");
    await start();
    for (let offset = 1; offset <= 100; offset += 1) peer.send(TOPIC_DATA_FRAME, { offset, data: 5 }, { id: 1 });
    await runtime.settle();
    await runtime.advance(1000);
    peer.send(TOPIC_DATA_FRAME, { offset: 101, data: 5 }, { id: 1 });
    await runtime.settle();
    expect([counts, subscription.dropped]).toEqual([
      [
        ["message", "news", undefined],
        ["message", "news", 100],
      ],
      101,
    ]);
  });

  test("reports data of an asynchronous schema as INVALID_CONFIG, even if the schema rejects it", async () => {
    const schema = v.objectAsync({
      n: v.pipeAsync(
        v.number(),
        v.checkAsync(async (n) => n > 1),
      ),
    });
    const { runtime, client, peer, start, errors } = await rawScene({ contract: { topics: { news: schema } } });
    const subscription = client.subscribe("news");
    await start();
    peer.send(TOPIC_DATA_FRAME, { offset: 1, data: { n: 1 } }, { id: 1 });
    await runtime.advance(1000);
    peer.send(TOPIC_DATA_FRAME, { offset: 2, data: { n: 2 } }, { id: 1 });
    await runtime.settle();
    const report = {
      code: ErrorCode.INVALID_CONFIG,
      message: "The schema of topic 'news' must not be asynchronous",
      stage: "message",
      name: "news",
    };
    expect([subscription.waiting, subscription.dropped, errors]).toEqual([0, 2, [report, report]]);
  });
});

describe("a subscription that is closed", () => {
  test("while the client reconnects isn't requested again", async () => {
    const { runtime, client, peer, admit, start } = await rawScene();
    const subscription = client.subscribe("news");
    await start();
    peer.reset();
    await runtime.settle();
    subscription.close();
    await runtime.advance(150);
    expect(await methodsOf(await admit())).toEqual([]);
  });

  test("reports the error if the server answers with one", async () => {
    const { runtime, client, peer, start, errors } = await rawScene();
    const subscription = client.subscribe("news");
    await start();
    subscription.close();
    const { id, payload } = await peer.next(Type.RPC_REQUEST);
    expect(payload?.["method"]).toBe(TOPIC_UNSUBSCRIBE);
    peer.send(Type.RPC_ERROR, { code: 77, success: false, error: "no" }, { id });
    await runtime.settle();
    expect(errors).toMatchObject([{ code: 77, message: "no", name: "news" }]);
  });

  const busy = { code: ErrorCode.RATE_LIMITED, success: false, error: "slower", details: { retry_after: 2 } };

  test("while the server is too busy is closed there later", async () => {
    const { runtime, client, peer, start, errors } = await rawScene();
    const subscription = client.subscribe("news");
    await start();
    subscription.close();
    peer.send(Type.RPC_ERROR, busy, { id: (await peer.next(Type.RPC_REQUEST)).id });
    await runtime.advance(1900);
    expect(await methodsOf(peer)).toEqual([]);
    await runtime.advance(200);
    expect([await methodsOf(peer), errors]).toEqual([[TOPIC_UNSUBSCRIBE], []]);
  });

  test("while the server is too busy isn't closed on the next connection, on which it was never opened", async () => {
    const { runtime, client, peer, admit, start } = await rawScene();
    const subscription = client.subscribe("news");
    await start();
    subscription.close();
    peer.send(Type.RPC_ERROR, busy, { id: (await peer.next(Type.RPC_REQUEST)).id });
    await runtime.settle();
    peer.reset();
    await runtime.advance(150);
    const next = await admit();
    await runtime.advance(3000);
    expect(await methodsOf(next)).toEqual([]);
  });

  test.each([
    ["before the server answers", 0],
    ["after the server was too busy", 100],
  ])("and requested again %s isn't closed there later", async (_what, waitMs) => {
    const { runtime, client, peer, start } = await rawScene();
    const subscription = client.subscribe("news");
    await start();
    subscription.close();
    const { id } = await peer.next(Type.RPC_REQUEST);
    if (waitMs === 0) client.subscribe("news");
    peer.send(Type.RPC_ERROR, busy, { id });
    await runtime.advance(waitMs);
    if (waitMs > 0) client.subscribe("news");
    await start();
    await runtime.advance(3000);
    expect(await methodsOf(peer)).toEqual([]);
  });

  test("when its call has timed out is closed on the server", async () => {
    const { runtime, client, peer } = await rawScene({ rpcTimeoutMs: 1000 });
    const subscription = client.subscribe("news");
    await runtime.settle();
    await runtime.advance(1100);
    await expect(subscription.ready).rejects.toMatchObject({ code: ErrorCode.TIMEOUT });
    await runtime.settle();
    expect(await methodsOf(peer)).toEqual([TOPIC_SUBSCRIBE, TOPIC_UNSUBSCRIBE]);
  });

  test("just before the connection is lost reports nothing", async () => {
    const { runtime, client, peer, start, errors } = await rawScene({ reconnect: { enabled: false } });
    const subscription = client.subscribe("news");
    await start();
    subscription.close();
    await peer.next(Type.RPC_REQUEST);
    peer.reset();
    await runtime.settle();
    expect(errors.filter(({ name }) => name === "news")).toEqual([]);
  });
});

describe("a subscription that is rejected temporarily", () => {
  const limited = { code: ErrorCode.RATE_LIMITED, success: false, error: "slower", details: { retry_after: 2 } };

  test("by RATE_LIMITED is requested again after the server's delay", async () => {
    const { runtime, client, peer, start } = await rawScene();
    const subscription = client.subscribe("news");
    peer.send(Type.RPC_ERROR, limited, { id: (await asked(peer)).id });
    await runtime.advance(1900);
    expect(await methodsOf(peer)).toEqual([]);
    await runtime.advance(200);
    await start();
    await subscription.ready;
    expect(subscription.isLive).toBe(true);
  });

  test("because this client doesn't read fast enough is requested again", async () => {
    const { runtime, client, peer, start } = await rawScene();
    const subscription = client.subscribe("news");
    const full = { code: ErrorCode.SEND_QUEUE_FULL, success: false, error: "full" };
    peer.send(Type.RPC_ERROR, full, { id: (await asked(peer)).id });
    await runtime.advance(1100);
    await start();
    expect(subscription.isLive).toBe(true);
  });

  test.each([
    ["without a time", {}],
    ["with a time that is no number", { details: { retry_after: Number.NaN } }],
  ])("by RATE_LIMITED %s ends with that error", async (_what, details) => {
    const { client, peer } = await rawScene();
    const subscription = client.subscribe("news");
    peer.send(
      Type.RPC_ERROR,
      { code: ErrorCode.RATE_LIMITED, success: false, error: "slower", ...details },
      { id: (await asked(peer)).id },
    );
    await expect(subscription.ready).rejects.toMatchObject({ code: ErrorCode.RATE_LIMITED });
  });

  test("isn't requested again if the program closes it first", async () => {
    const { runtime, client, peer } = await rawScene();
    const subscription = client.subscribe("news");
    peer.send(Type.RPC_ERROR, limited, { id: (await asked(peer)).id });
    await runtime.settle();
    subscription.close();
    await runtime.advance(3000);
    expect(await methodsOf(peer)).toEqual([TOPIC_UNSUBSCRIBE]);
  });

  test("isn't requested again if the server starts it first", async () => {
    const { runtime, client, peer } = await rawScene();
    const subscription = client.subscribe("news");
    peer.send(Type.RPC_ERROR, limited, { id: (await asked(peer)).id });
    peer.send(TOPIC_START_FRAME, { topic: "news", epoch: "e", offset: 0, presence: false }, { id: 1 });
    await runtime.advance(3000);
    expect([subscription.isLive, await methodsOf(peer)]).toEqual([true, []]);
  });

  test("because the server is stopping is requested on the next connection", async () => {
    const { runtime, client, peer, admit, start } = await rawScene();
    const subscription = client.subscribe("news");
    const refusal = { code: ErrorCode.SERVER_STOPPING, success: false, error: "stopping" };
    peer.send(Type.RPC_ERROR, refusal, { id: (await asked(peer)).id });
    await runtime.settle();
    peer.reset();
    await runtime.advance(150);
    await start(await admit());
    await subscription.ready;
    expect(subscription.isLive).toBe(true);
  });
});

describe("a subscription started by the server", () => {
  const news = { topic: "news", epoch: "e", offset: 0, presence: false };

  test("continues next to one requested by the program, even when that one is closed", async () => {
    const { runtime, client, peer, start } = await rawScene();
    const begun: Subscription[] = [];
    client.onSubscribed((subscription) => begun.push(subscription));
    peer.send(TOPIC_START_FRAME, news, { id: 1 });
    await runtime.settle();
    const asked = client.subscribe("news");
    await start();
    asked.close();
    peer.send(TOPIC_DATA_FRAME, { offset: 1, data: "hello" }, { id: 1 });
    await runtime.settle();
    expect([begun.length, await taken(begun[0] as Subscription), await methodsOf(peer)]).toEqual([1, ["hello"], []]);
  });

  test("that isn't restarted after a reconnect is requested when a program subscribes", async () => {
    const { runtime, client, peer, admit, start } = await rawScene();
    client.onSubscribed(() => undefined);
    peer.send(TOPIC_START_FRAME, news, { id: 1 });
    await runtime.settle();
    peer.reset();
    await runtime.advance(150);
    const next = await admit();
    const subscription = client.subscribe("news");
    await start(next);
    next.send(TOPIC_DATA_FRAME, { offset: 1, data: "hello" }, { id: 1 });
    await runtime.settle();
    expect([subscription.isLive, await taken(subscription)]).toEqual([true, ["hello"]]);
  });

  test("that begins again before the position that it had may have missed messages", async () => {
    const { runtime, client, peer, admit } = await rawScene();
    const begun: Subscription[] = [];
    client.onSubscribed((subscription) => begun.push(subscription));
    const resumptions: unknown[] = [];
    peer.send(TOPIC_START_FRAME, { ...news, offset: 5 }, { id: 1 });
    peer.send(TOPIC_DATA_FRAME, { offset: 6, data: "old" }, { id: 1 });
    await runtime.settle();
    begun[0]?.onResume((resumption) => resumptions.push(resumption));
    peer.reset();
    await runtime.advance(150);
    const next = await admit();
    next.send(TOPIC_START_FRAME, { ...news, offset: 5 }, { id: 1 });
    next.send(TOPIC_DATA_FRAME, { offset: 6, data: "new" }, { id: 1 });
    await runtime.settle();
    expect(await taken(begun[0] as Subscription)).toEqual(["old", "new"]);
    expect(resumptions).toEqual([{ recovered: false, missed: null }]);
  });

  test("is dropped by a client without onSubscribed hooks", async () => {
    const { runtime, client, peer } = await rawScene();
    const other = client.subscribe("other");
    peer.send(TOPIC_START_FRAME, news, { id: 1 });
    peer.send(TOPIC_DATA_FRAME, { offset: 1, data: 1 }, { id: 1 });
    await runtime.settle();
    expect([other.waiting, client.isConnected]).toEqual([0, true]);
  });

  test("ends the connection above 10,000", async () => {
    const { runtime, client, peer } = await rawScene();
    client.onSubscribed(() => undefined);
    for (let number = 1; number <= 10_000; number += 1) {
      peer.send(TOPIC_START_FRAME, { ...news, topic: `news ${number}` }, { id: number });
    }
    await runtime.settle();
    expect(client.isConnected).toBe(true);
    peer.send(TOPIC_START_FRAME, news, { id: 10_001 });
    expect((await peer.next(Type.CLOSE)).payload).toMatchObject({ code: ErrorCode.FLOW_CONTROL_ERROR });
  });

  test("ends the connection while the hooks of 20,000 ended ones are running", async () => {
    const { runtime, client, peer } = await rawScene();
    client.onSubscribed(() => new Promise(() => undefined));
    const end = { code: ErrorCode.CANCELLED, reason: "over" };
    for (let number = 1; number <= 20_000; number += 1) {
      peer.send(TOPIC_START_FRAME, { ...news, topic: `news ${number}` }, { id: number });
      peer.send(TOPIC_END_FRAME, end, { id: number });
    }
    await runtime.settle();
    expect(client.isConnected).toBe(true);
    peer.send(TOPIC_START_FRAME, news, { id: 20_001 });
    expect((await peer.next(Type.CLOSE)).payload).toMatchObject({ code: ErrorCode.FLOW_CONTROL_ERROR });
  });

  test("doesn't end the connection if the ended ones' hooks have finished", async () => {
    const { runtime, client, peer } = await rawScene();
    client.onSubscribed(async () => undefined);
    const end = { code: ErrorCode.CANCELLED, reason: "over" };
    for (let number = 1; number <= 20_001; number += 1) {
      peer.send(TOPIC_START_FRAME, { ...news, topic: `news ${number}` }, { id: number });
      peer.send(TOPIC_END_FRAME, end, { id: number });
    }
    await runtime.settle();
    expect(client.isConnected).toBe(true);
  });

  test("doesn't end the connection if earlier ones have ended", async () => {
    const { runtime, client, peer } = await rawScene();
    client.onSubscribed(() => undefined);
    const end = { code: ErrorCode.CANCELLED, reason: "over" };
    for (let number = 1; number <= 10_001; number += 1) {
      peer.send(TOPIC_START_FRAME, { ...news, topic: `news ${number}` }, { id: number });
      peer.send(TOPIC_END_FRAME, end, { id: number });
    }
    await runtime.settle();
    expect(client.isConnected).toBe(true);
  });
});

describe("subscriptions started by the server", () => {
  const KIB = 1024;
  const start = (topic: string, presence = false): unknown => ({ topic, epoch: "e", offset: 0, presence });

  async function scene() {
    const all = await rawScene({ maxMessageBytes: 64 * KIB, receiveQueueBytes: 128 * KIB });
    const begun: Subscription[] = [];
    all.client.onSubscribed((subscription) => begun.push(subscription));
    const { peer, runtime } = all;
    const publish = async (number: number, offset: number): Promise<void> => {
      peer.send(TOPIC_DATA_FRAME, { offset, data: new Uint8Array(10 * KIB) }, { id: number });
      await runtime.settle();
    };
    const begin = async (count: number, presence = false): Promise<void> => {
      for (let number = 1; number <= count; number += 1) {
        peer.send(TOPIC_START_FRAME, start(`room:${number}`, presence), { id: number });
      }
      await runtime.settle();
    };
    return { ...all, begun, begin, publish };
  }

  test("share the space of one, and those that are read keep their messages", async () => {
    const { begun, begin, publish } = await scene();
    await begin(20);
    const [read] = begun as [Subscription];
    for (let offset = 1; offset <= 3; offset += 1) {
      for (let number = 20; number >= 1; number -= 1) await publish(number, offset);
      expect((await taken(read)).length).toBe(1);
    }
    const waiting = begun.reduce((sum, one) => sum + one.waiting, 0);
    const dropped = begun.reduce((sum, one) => sum + one.dropped, 0);
    expect([waiting > 5, waiting < 13, waiting + dropped, read.dropped]).toEqual([true, true, 57, 0]);
    for (const one of begun) one.close();
    for (let offset = 4; offset <= 6; offset += 1) await publish(1, offset);
    expect(read.waiting).toBe(0);
  });

  test("have space again when messages are consumed or a subscription is closed", async () => {
    const { begun, begin, publish } = await scene();
    await begin(3);
    const [first, second, third] = begun as [Subscription, Subscription, Subscription];
    for (let offset = 1; offset <= 8; offset += 1) await publish(1, offset);
    expect((await taken(first)).length).toBe(8);
    for (let offset = 1; offset <= 8; offset += 1) await publish(2, offset);
    second.close();
    for (let offset = 1; offset <= 8; offset += 1) await publish(3, offset);
    expect([third.waiting, third.dropped, first.dropped]).toEqual([8, 0, 0]);
  });

  test("share the limit on known members of one", async () => {
    const { runtime, peer, begun, begin } = await scene();
    await begin(3, true);
    const tell = async (number: number, change: object): Promise<void> => {
      peer.send(TOPIC_PRESENCE_FRAME, { reset: false, joined: [], left: [], ...change }, { id: number });
      await runtime.settle();
    };
    const members = (from: number): unknown[] => Array.from({ length: 2000 }, (_, n) => [`${from + n}`, null]);
    for (let from = 0; from < 60_000; from += 2000) {
      for (const number of [1, 2]) await tell(number, { joined: members(from) });
    }
    await tell(3, { joined: members(0) });
    expect(begun.map(({ presence }) => presence?.size)).toEqual([50_000, 50_000, 0]);
    begun[0]?.close();
    await tell(3, { joined: members(0) });
    expect(begun[2]?.presence?.size).toBe(2000);
  });

  test("but not restarted on the next connection end when there would be too many", async () => {
    const { runtime, client, peer, admit, begun, begin } = await scene();
    await begin(10_000);
    peer.reset();
    await runtime.advance(150);
    const next = await admit();
    expect(await Promise.race([begun[0]?.next(), runtime.settle()])).toBeUndefined();
    next.send(TOPIC_START_FRAME, start("room:2"), { id: 2 });
    next.send(TOPIC_START_FRAME, start("hall"), { id: 20_000 });
    await runtime.settle();
    expect(await begun[0]?.next()).toEqual({ done: true, value: undefined });
    expect([client.isConnected, begun.length, begun[1]?.isLive, await methodsOf(next)]).toEqual([
      true,
      10_001,
      true,
      [],
    ]);
  });
});

describe("the presence of a subscription", () => {
  test("follows the server's changes for known and unknown clients", async () => {
    const { runtime, client, peer, start } = await rawScene();
    const subscription = client.subscribe("news");
    await start(peer, true);
    const changes: PresenceChange[] = [];
    subscription.presence?.onChange((change) => changes.push(change));
    const tell = async (joined: unknown[], left: string[]): Promise<void> => {
      peer.send(TOPIC_PRESENCE_FRAME, { reset: false, joined, left }, { id: 1 });
      await runtime.settle();
    };
    await tell(
      [
        ["1", "ada"],
        ["2", "ada"],
        ["3", null],
      ],
      [],
    );
    await tell([["1", "ada"]], ["unknown"]);
    expect(changes.length).toBe(1);
    await tell([["1", "grace"]], ["3"]);
    expect(changes[1]).toEqual({
      joined: [{ id: "1", user: "grace" }],
      left: [{ id: "3", user: null }],
      usersJoined: ["grace"],
      usersLeft: [],
    });
    expect([subscription.presence?.users, subscription.presence?.size]).toEqual([["ada", "grace"], 2]);
  });
});

describe("a server that offers topics", () => {
  test.each([5, "yes", null])("as %s has none", async (topic) => {
    const { client } = await rawScene({}, { topic });
    await expect(client.subscribe("news").ready).rejects.toMatchObject({
      code: ErrorCode.PEER_UNSUPPORTED,
      message: "Cannot subscribe to 'news': the server has none (extension 'topic')",
    });
  });

  test("with an invalid number of subscriptions supports them", async () => {
    const { client, start } = await rawScene({}, { topic: { subscriptions: "many" } });
    const subscription = client.subscribe("news");
    await start();
    await subscription.ready;
  });

  test("is ignored when it sends to a client that has never subscribed", async () => {
    const { runtime, client, peer } = await rawScene();
    peer.send(TOPIC_START_FRAME, { topic: "news" }, { id: 1 });
    peer.send(TOPIC_DATA_FRAME, { offset: 1, data: 1 }, { id: 1 });
    await runtime.settle();
    expect(client.isConnected).toBe(true);
  });

  test("delivers null, outside the history, by an empty TOPIC_DATA", async () => {
    const { runtime, client, peer, start } = await rawScene();
    const subscription = client.subscribe("news");
    await start();
    const before = subscription.position;
    peer.send(TOPIC_DATA_FRAME, undefined, { id: 1 });
    await runtime.settle();
    expect([await taken(subscription), subscription.position]).toEqual([[null], before]);
  });

  test("ends a subscription, even without a proper code and reason", async () => {
    const { runtime, client, peer, start } = await rawScene();
    const subscription = client.subscribe("news");
    await start();
    peer.send(TOPIC_END_FRAME, { code: "x", reason: 5 }, { id: 1 });
    await runtime.settle();
    expect([await subscription.next(), client.isConnected]).toEqual([{ done: true, value: undefined }, true]);
  });

  test("that the server can't continue fails with the reason on one line", async () => {
    const { runtime, client, peer, start } = await rawScene();
    const subscription = client.subscribe("news");
    await start();
    const next = subscription.next().catch((error: unknown) => error);
    const reason = "gone\r\n[root] logged in\u001b[2J";
    peer.send(TOPIC_END_FRAME, { code: ErrorCode.CLUSTER_UNAVAILABLE, reason }, { id: 1 });
    await runtime.settle();
    expect(await next).toMatchObject({ codeName: "CLUSTER_UNAVAILABLE", message: "gone  [root] logged in [2J" });
  });

  const start = { topic: "news", epoch: "e", offset: 0, presence: false };
  const presence = { reset: true, joined: [], left: [] };
  const tooLong = "x".repeat(257);
  test.each([
    ["TOPIC_DATA", "a negative offset", TOPIC_DATA_FRAME, { offset: -1, data: 1 }],
    ["TOPIC_DATA", "a fraction as offset", TOPIC_DATA_FRAME, { offset: 1.5, data: 1 }],
    ["TOPIC_START", "no topic", TOPIC_START_FRAME, { ...start, topic: 5 }],
    ["TOPIC_START", "a long name", TOPIC_START_FRAME, { ...start, topic: "x".repeat(257) }],
    ["TOPIC_START", "no epoch", TOPIC_START_FRAME, { ...start, epoch: null }],
    ["TOPIC_START", "no offset", TOPIC_START_FRAME, { ...start, offset: "0" }],
    ["TOPIC_PRESENCE", "no lists", TOPIC_PRESENCE_FRAME, {}],
    ["TOPIC_PRESENCE", "a member that is no pair", TOPIC_PRESENCE_FRAME, { ...presence, joined: ["1"] }],
    ["TOPIC_PRESENCE", "a user that is no string", TOPIC_PRESENCE_FRAME, { ...presence, joined: [["1", 5]] }],
    ["TOPIC_PRESENCE", "an id that left and is too long", TOPIC_PRESENCE_FRAME, { ...presence, left: [tooLong] }],
    ["TOPIC_PRESENCE", "an id that is too long", TOPIC_PRESENCE_FRAME, { ...presence, joined: [[tooLong, null]] }],
    ["TOPIC_PRESENCE", "a user that is too long", TOPIC_PRESENCE_FRAME, { ...presence, joined: [["1", tooLong]] }],
  ])("that sends a %s with %s is reported, and the subscription continues", async (name, _what, type, payload) => {
    const { runtime, client, peer, errors, start: begin } = await rawScene();
    const subscription = client.subscribe("news");
    await begin();
    peer.send(type, payload, { id: 1 });
    peer.send(TOPIC_DATA_FRAME, { offset: 1, data: "fine" }, { id: 1 });
    await runtime.settle();
    const message = expect.stringContaining(`Cannot read the payload of ${name}: `);
    expect(errors).toMatchObject([{ code: ErrorCode.INVALID_PAYLOAD_SHAPE, message }]);
    expect([await taken(subscription), subscription.dropped]).toEqual([["fine"], 0]);
  });
});
