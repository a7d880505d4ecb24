import { describe, expect, test } from "vitest";
import { ErrorCode } from "../../errors.ts";
import { gate } from "../../test-support/gate.ts";
import { taken, topicScene } from "../../test-support/topic-scene.ts";
import type { Client } from "../client.ts";
import type { Resumption, Subscription } from "./subscription.ts";

const numbers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, n) => from + n);

describe("subscriptions of one client to one topic", () => {
  async function scene(options: Parameters<Awaited<ReturnType<typeof topicScene>>["server"]["topic"]>[1] = {}) {
    const all = await topicScene();
    const news = all.server.topic("news", options);
    const client = await all.join();
    const publish = async (from: number, to: number): Promise<void> => {
      for (const n of numbers(from, to)) news.publish(n);
      await all.runtime.settle();
    };
    const cutOff = async (): Promise<void> => {
      await all.connectionOf(client).close("again", { reconnect: true });
    };
    return { ...all, news, client, publish, cutOff };
  }

  const start = async (client: Client, options = {}): Promise<Subscription> => {
    const subscription = client.subscribe("news", options);
    await subscription.ready;
    return subscription;
  };

  test("receive the same messages by one membership, each with its own buffer and policy", async () => {
    const { news, client, publish } = await scene();
    const oldest = await start(client, { buffer: 3 });
    const newest = await start(client, { buffer: 3, slow: "drop-newest" });
    const all = await start(client);
    await publish(1, 10);
    expect(news.size).toBe(1);
    expect(await Promise.all([oldest, newest, all].map(taken))).toEqual([[8, 9, 10], [1, 2, 3], numbers(1, 10)]);
    expect([oldest, newest, all].map(({ dropped }) => dropped)).toEqual([7, 7, 0]);
  });

  test("end separately: only the last end is sent to the server", async () => {
    const { runtime, news, client, publish } = await scene();
    const [first, second] = [await start(client), await start(client)];
    first.close();
    await publish(1, 1);
    expect([news.size, await taken(second)]).toEqual([1, [1]]);
    expect(await first.next()).toEqual({ done: true, value: undefined });
    second.close();
    await runtime.settle();
    expect(news.size).toBe(0);
  });

  test("each get retained messages, and nothing twice", async () => {
    const { client, publish } = await scene({ retain: 2 });
    await publish(1, 5);
    const first = await start(client);
    await publish(6, 6);
    const second = await start(client);
    await publish(7, 7);
    expect([await taken(first), await taken(second)]).toEqual([
      [4, 5, 6, 7],
      [5, 6, 7],
    ]);
    expect([first.dropped, second.dropped]).toEqual([0, 0]);
  });

  test("start at different positions, and the first loses nothing when the second gets older messages", async () => {
    const { client, publish } = await scene({ history: { messages: 100 } });
    const first = await start(client);
    const since = first.position ?? "";
    await publish(1, 20);
    const second = await start(client, { since });
    await publish(21, 30);
    expect([await taken(first), await taken(second)]).toEqual([numbers(1, 30), numbers(1, 30)]);
    expect([second.recovered, first.recovered, first.dropped]).toEqual([true, false, 0]);
  });

  test("are restored together after a reconnect by one call, from the earliest position", async () => {
    let asked = 0;
    const authorize = (): boolean => {
      asked += 1;
      return true;
    };
    const { runtime, client, publish, cutOff, news } = await scene({ history: { messages: 100 }, authorize });
    const [first, second] = [await start(client), await start(client)];
    const resumptions: Resumption[] = [];
    for (const one of [first, second]) one.onResume((resumption) => resumptions.push(resumption));
    await publish(1, 5);
    expect(await taken(first)).toEqual(numbers(1, 5));
    asked = 0;
    await cutOff();
    await publish(6, 8);
    await runtime.advance(150);
    await publish(9, 9);
    expect([await taken(first), await taken(second)]).toEqual([numbers(6, 9), numbers(1, 9)]);
    expect(resumptions).toEqual([
      { recovered: true, missed: 0 },
      { recovered: true, missed: 0 },
    ]);
    expect([asked, news.size]).toEqual([1, 1]);
  });

  test("are each restored with their own missed messages if the history is too short", async () => {
    const { runtime, client, publish, cutOff } = await scene({ history: { messages: 3 } });
    const [first, second] = [await start(client), await start(client)];
    await cutOff();
    await publish(1, 10);
    await runtime.advance(150);
    expect([first.recovered, second.recovered, first.dropped, second.dropped]).toEqual([false, false, 10, 10]);
  });

  test("are rejected separately: the first continues if authorize rejects the second", async () => {
    let asked = 0;
    const { client, publish } = await scene({ authorize: () => ++asked === 1 });
    const first = await start(client);
    await expect(start(client)).rejects.toMatchObject({ code: ErrorCode.PERMISSION_DENIED });
    await publish(1, 1);
    expect(await taken(first)).toEqual([1]);
  });

  test("that are requested while authorize is running all start", async () => {
    const decided = gate();
    const { runtime, client, news, publish } = await scene({ authorize: () => decided.promise.then(() => true) });
    const [first, second] = [client.subscribe("news"), client.subscribe("news")];
    await runtime.settle();
    decided.open();
    await Promise.all([first.ready, second.ready]);
    await publish(1, 1);
    expect([news.size, await taken(first), await taken(second)]).toEqual([1, [1], [1]]);
  });

  test("leave the server when the last is rejected after the first was closed", async () => {
    const decided = gate();
    let asked = 0;
    const { runtime, client, news } = await scene({
      authorize: async () => {
        asked += 1;
        if (asked === 2) await decided.promise;
        return asked === 1;
      },
    });
    const first = await start(client);
    const second = client.subscribe("news");
    await runtime.settle();
    first.close();
    decided.open();
    await expect(second.ready).rejects.toMatchObject({ code: ErrorCode.PERMISSION_DENIED });
    await runtime.settle();
    expect(news.size).toBe(0);
  });

  test("requested while the server ends the topic's subscription start again", async () => {
    const decided = gate();
    let asked = 0;
    const { runtime, client, news, publish, connectionOf } = await scene({
      authorize: async () => {
        asked += 1;
        if (asked === 2) await decided.promise;
        return true;
      },
    });
    const first = await start(client);
    const second = client.subscribe("news");
    await runtime.settle();
    news.delete(connectionOf(client));
    await runtime.settle();
    expect(await first.next()).toEqual({ done: true, value: undefined });
    decided.open();
    await second.ready;
    await publish(1, 1);
    expect(await taken(second)).toEqual([1]);
  });

  test("each have the members, immediately for one that starts later", async () => {
    const { runtime, client, join } = await scene({ presence: true });
    const first = await start(client);
    await runtime.advance(150);
    const second = await start(client);
    expect([first.presence?.size, second.presence?.size]).toEqual([1, 1]);
    await start(await join());
    await runtime.advance(150);
    first.close();
    const hidden = await start(client, { presence: false });
    expect([first.presence?.size, second.presence?.size, hidden.presence]).toEqual([0, 2, null]);
  });

  test("have the members even if the first didn't request presence", async () => {
    const { runtime, client } = await scene({ presence: true });
    const first = await start(client, { presence: false });
    const second = await start(client);
    await runtime.advance(150);
    expect([first.presence, second.presence?.size]).toEqual([null, 1]);
  });

  test("report an invalid message once, and each count it", async () => {
    const { server, join, runtime } = await topicScene();
    const news = server.topic("news");
    const { string } = await import("valibot");
    const client = await join({ contract: { topics: { news: string() } } });
    const errors: unknown[] = [];
    client.onError((error) => errors.push(error));
    const [first, second] = [await start(client), await start(client)];
    news.publish(5);
    news.publish("fine");
    await runtime.settle();
    expect([await taken(first), await taken(second), first.dropped, second.dropped, errors.length]).toEqual([
      ["fine"],
      ["fine"],
      1,
      1,
      1,
    ]);
  });
});

describe("subscriptions of one client to many topics", () => {
  test("are restored after a reconnect although their calls don't fit in the send queue", async () => {
    const { runtime, server, join, connectionOf } = await topicScene();
    server.topics("room:*", { authorize: () => true });
    const client = await join({ sendQueueSize: 4 });
    const rooms: Subscription[] = [];
    for (let n = 0; n < 200; n += 1) {
      const room = client.subscribe(`room:${n}`);
      await room.ready;
      rooms.push(room);
    }
    await connectionOf(client).close("again", { reconnect: true });
    await runtime.advance(150);
    await runtime.advance(60_000);
    expect(rooms.filter(({ isLive }) => isLive).length).toBe(200);
  });
});
