import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { ErrorCode } from "../../errors.ts";
import { fakeRuntime } from "../../test-support/fake-runtime.ts";
import { gate } from "../../test-support/gate.ts";
import { testClient, testServer } from "../../test-support/peers.ts";
import { type MemoryPeer, rawClient } from "../../test-support/raw-memory.ts";
import type { Server } from "../server.ts";

async function bench(prepare: (server: Server) => void) {
  const runtime = fakeRuntime();
  const { server, port } = await testServer(runtime, { allowPasswordHash: true }, prepare);
  const join = async (): Promise<MemoryPeer> => {
    const peer = await rawClient(runtime, port, { extensions: null, passwordHash: true });
    await runtime.advance(100);
    return peer;
  };
  return { runtime, server, join };
}

let lastId = 0;
/** Calls a method and returns the result in netconduit's wrapper. */
async function ask(peer: MemoryPeer, method: string, params: unknown = {}): Promise<unknown> {
  lastId += 1;
  peer.call(method, params, lastId);
  return (await peer.next(0x0003)).payload?.["result"];
}

/** Returns the data of received messages of a type. */
async function messages(peer: MemoryPeer, type: string): Promise<unknown[]> {
  const frames = await peer.received();
  return frames.filter(({ payload }) => payload?.["type"] === type).map(({ payload }) => payload?.["data"]);
}

const ok = (data: unknown): unknown => ({ success: true, data });

describe("netconduit clients", () => {
  test("list streams: topics for everybody, and those that they have a part in", async () => {
    const { join } = await bench((server) => {
      server.topic("news");
      server.topic("secret", { authorize: ({ info }) => info.name !== "stranger" });
    });
    const peer = await join();
    const news = { name: "news", owner: "server", subscribers: 0, active: true };
    expect(await ask(peer, "stream_list")).toEqual(ok({ streams: [news] }));
    await ask(peer, "stream_subscribe", { stream_name: "secret" });
    expect(await ask(peer, "stream_list")).toMatchObject(
      ok({ streams: [news, { name: "secret", subscribers: 1 }] }) as object,
    );
  });

  test("subscribe, and receive stream_data that only subscribers get, with a float timestamp", async () => {
    const { server, join } = await bench(() => undefined);
    const news = server.topic("news");
    const [peer, other] = [await join(), await join()];
    expect(await ask(peer, "stream_subscribe", { stream_name: "news" })).toEqual(
      ok({ subscribed: true, stream: "news" }),
    );
    expect(news.publish({ a: 1 })).toBe(1);
    const [data] = await messages(peer, "stream_data");
    expect(data).toMatchObject({ stream: "news", data: { a: 1 } });
    expect(typeof (data as { timestamp: unknown }).timestamp).toBe("number");
    expect(await messages(other, "stream_data")).toEqual([]);
  });

  test("count in a topic's presence, and get no frames of it, which they don't know", async () => {
    const { runtime, server, join } = await bench(() => undefined);
    const news = server.topic("news", { presence: true });
    const [peer, other] = [await join(), await join()];
    for (const one of [peer, other]) await ask(one, "stream_subscribe", { stream_name: "news" });
    await runtime.advance(200);
    expect(news.presence).toHaveLength(2);
    expect(await peer.received()).toEqual([]);
  });

  test("that subscribe twice are subscribed once", async () => {
    const { server, join } = await bench(() => undefined);
    const news = server.topic("news");
    const peer = await join();
    for (let n = 0; n < 2; n += 1) await ask(peer, "stream_subscribe", { stream_name: "news" });
    expect([news.size, news.publish(1)]).toEqual([1, 1]);
    expect(await messages(peer, "stream_data")).toMatchObject([{ data: 1 }]);
    await ask(peer, "stream_unsubscribe", { stream_name: "news" });
    expect(news.publish(2)).toBe(0);
  });

  test("that don't read miss what is published, and are reported as slow", async () => {
    const { runtime, server, join } = await bench(() => undefined);
    const reports: unknown[] = [];
    server.onSlowConsumer((_connection, report) => reports.push(report));
    const news = server.topic("news", { slow: "drop-newest" });
    const peer = await join();
    await ask(peer, "stream_subscribe", { stream_name: "news" });
    peer.pause();
    let reached = 0;
    for (let n = 0; n < 200 && reports.length === 0; n += 1) {
      reached += news.publish("x".repeat(1_000_000));
      await runtime.settle();
    }
    expect(reports).toMatchObject([{ action: "dropped", topic: "news" }]);
    expect(news.stats.dropped).toBe(1);
    peer.resume();
    await runtime.settle();
    expect((await messages(peer, "stream_data")).length).toBe(reached);
  });

  test("that may not publish to a topic can't create it", async () => {
    const { server, join } = await bench(() => undefined);
    const rooms = server.topics("room:*", { authorize: () => true, publish: () => false });
    const answer = await ask(await join(), "stream_create", { stream_name: "room:7" });
    expect(answer).toMatchObject({ success: false, code: 3003 });
    expect(rooms.all).toEqual([]);
  });

  test("that may not publish to a topic don't hear whether it exists", async () => {
    const { server, join } = await bench(() => undefined);
    server.topics("room:*", { authorize: () => true, publish: (connection) => connection === server.connections[0] });
    server.topic("staff", { roles: ["staff"] });
    await ask(await join(), "stream_create", { stream_name: "room:7" });
    const peer = await join();
    const answers: unknown[] = [];
    for (const name of ["room:7", "room:8", "staff"])
      answers.push(await ask(peer, "stream_create", { stream_name: name }));
    const denied = { success: false, code: 3003 };
    expect(answers).toMatchObject([denied, denied, denied]);
  });

  test("that unsubscribe from a stream that they created keep it until it ends", async () => {
    const { server, join } = await bench(() => undefined);
    const rooms = server.topics("room:*", { authorize: () => true, publish: true });
    const peer = await join();
    for (const method of ["stream_create", "stream_subscribe", "stream_unsubscribe"]) {
      await ask(peer, method, { stream_name: "room:7" });
    }
    expect([rooms.all.map(({ name }) => name), rooms.topic("room:7").size]).toEqual([["room:7"], 0]);
    rooms.topic("room:7").close();
    expect(rooms.all).toEqual([]);
    expect(await ask(peer, "stream_create", { stream_name: "room:7" })).toMatchObject(ok({ created: true }) as object);
  });

  test("that unsubscribe from a stream that they created take it along when they disconnect", async () => {
    const { runtime, server, join } = await bench(() => undefined);
    const rooms = server.topics("room:*", { authorize: () => true, publish: true });
    const peer = await join();
    for (const method of ["stream_create", "stream_subscribe", "stream_unsubscribe"]) {
      await ask(peer, method, { stream_name: "room:7" });
    }
    expect(rooms.all).toHaveLength(1);
    peer.reset();
    await runtime.settle();
    expect(rooms.all).toEqual([]);
  });

  test("get a list of at most 1,000 streams", async () => {
    const { join } = await bench((server) => {
      for (let n = 1; n <= 1001; n += 1) server.topic(`news ${n}`);
    });
    const answer = (await ask(await join(), "stream_list")) as { data: { streams: { name: string }[] } };
    expect([answer.data.streams.length, answer.data.streams.at(-1)?.name]).toEqual([1000, "news 1000"]);
  });

  test("that publish something without a stream's name are refused", async () => {
    const { join } = await bench((server) => void server.topic("news", { publish: true }));
    const peer = await join();
    for (const data of [5, null, {}]) peer.message("stream_data", data);
    const refused = { success: false };
    expect(await messages(peer, "stream_data_response")).toMatchObject([refused, refused, refused]);
  });

  test("that create one stream at once get it once", async () => {
    const { runtime, server, join } = await bench(() => undefined);
    const decision = gate<boolean>();
    const rooms = server.topics("room:*", { authorize: () => true, publish: () => decision.promise });
    const [first, second] = [await join(), await join()];
    for (const peer of [first, second]) peer.call("stream_create", { stream_name: "room:7" });
    await runtime.settle();
    decision.open(true);
    const results = [await first.next(0x0003), await second.next(0x0003)].map(({ payload }) => payload?.["result"]);
    expect(results).toMatchObject([ok({ created: true }), ok({ error: "Stream already exists" })]);
    expect(rooms.all.length).toBe(1);
  });

  test("get a successful result with an error for an unknown stream", async () => {
    const { join } = await bench((server) => void server.topic("news"));
    const peer = await join();
    const notFound = ok({ error: "Stream not found: nws" });
    expect(await ask(peer, "stream_subscribe", { stream_name: "nws" })).toEqual(notFound);
  });

  test("are refused where authorize refuses", async () => {
    const { server, join } = await bench(() => undefined);
    const secret = server.topic("secret", { authorize: () => false });
    const answer = await ask(await join(), "stream_subscribe", { stream_name: "secret" });
    expect(answer).toMatchObject({ success: false, code: expect.any(Number) });
    expect(secret.size).toBe(0);
  });

  test("unsubscribe, also from a stream that doesn't exist", async () => {
    const { server, join } = await bench(() => undefined);
    const news = server.topic("news");
    const peer = await join();
    await ask(peer, "stream_subscribe", { stream_name: "news" });
    expect(await ask(peer, "stream_unsubscribe", { stream_name: "news" })).toEqual(ok({ unsubscribed: true }));
    expect(await ask(peer, "stream_unsubscribe", { stream_name: "nothing" })).toEqual(ok({ unsubscribed: true }));
    expect([news.size, news.publish(1)]).toEqual([0, 0]);
  });

  test("create streams where a pattern lets them publish, which end with their connection", async () => {
    const { runtime, server, join } = await bench(() => undefined);
    const rooms = server.topics("room:*", { authorize: () => true, publish: true });
    server.topic("news");
    const peer = await join();
    const created = ok({ created: true, stream: "room:7", stream_id: expect.any(String) });
    expect(await ask(peer, "stream_create", { stream_name: "room:7" })).toEqual(created);
    const exists = ok({ error: "Stream already exists" });
    expect(await ask(peer, "stream_create", { stream_name: "room:7" })).toEqual(exists);
    expect(await ask(peer, "stream_create", { stream_name: "news" })).toEqual(exists);
    expect(await ask(peer, "stream_create", { stream_name: "other" })).toMatchObject({ success: false });
    expect(rooms.all.map(({ name }) => name)).toEqual(["room:7"]);
    peer.reset();
    await runtime.settle();
    expect(rooms.all).toEqual([]);
  });

  test("publish by stream_data, which is checked, and get an answer", async () => {
    const { runtime, server, join } = await bench(() => undefined);
    server.topics("room:*", { authorize: () => true, publish: true, schema: v.object({ text: v.string() }) });
    const { client } = testClient(runtime);
    await client.connect();
    const subscription = client.subscribe("room:7");
    await subscription.ready;
    const peer = await join();
    peer.message("stream_data", { stream: "room:7", data: { text: "hi" }, timestamp: 1.5 });
    peer.message("stream_data", { stream: "room:7", data: { text: 7 }, timestamp: 1.5 });
    peer.message("stream_data", { stream: "elsewhere", data: { text: "hi" }, timestamp: 1.5 });
    expect(await messages(peer, "stream_data_response")).toMatchObject([
      { received: true },
      { success: false },
      { success: false },
    ]);
    expect((await subscription.next()).value).toEqual({ text: "hi" });
    expect(subscription.waiting).toBe(0);
  });

  test("are notified of the end of a stream", async () => {
    const { server, join } = await bench(() => undefined);
    const news = server.topic("news");
    const peer = await join();
    await ask(peer, "stream_subscribe", { stream_name: "news" });
    news.close();
    expect(await messages(peer, "stream_closed")).toEqual([{ stream: "news" }]);
  });

  test("can be added and removed by the server", async () => {
    const { server, join } = await bench(() => undefined);
    const news = server.topic("news");
    const peer = await join();
    const [connection] = server.connections;
    if (connection === undefined) throw new Error("Nobody is connected");
    news.add(connection);
    news.publish(1);
    news.delete(connection);
    news.publish(2);
    expect(await messages(peer, "stream_data")).toMatchObject([{ data: 1 }]);
  });

  test("find no streams on a server without topics, and an application's own handlers go first", async () => {
    const { join } = await bench((server) => {
      server.rpc("stream_list", () => "mine");
      server.on("stream_data", () => "mine too");
    });
    const peer = await join();
    expect(await ask(peer, "stream_list")).toEqual(ok("mine"));
    expect(await ask(peer, "stream_subscribe", { stream_name: "x" })).toMatchObject({ success: false });
    peer.message("stream_data", {});
    expect(await messages(peer, "stream_data_response")).toEqual(["mine too"]);
  });

  test("can't use our calls, nor ours theirs", async () => {
    const { runtime, server, join } = await bench(() => undefined);
    server.topic("news");
    expect(await ask(await join(), "$topic.subscribe", { topic: "news" })).toMatchObject({ success: false });
    const { client } = testClient(runtime);
    await client.connect();
    await expect(client.call("stream_list")).rejects.toMatchObject({ code: ErrorCode.METHOD_NOT_FOUND });
    expect((await client.discover()).map(({ name }) => name)).toEqual([]);
    expect(() => server.rpc("$topic.subscribe", () => 1)).toThrow(
      expect.objectContaining({ code: ErrorCode.INVALID_STATE }),
    );
  });
});
