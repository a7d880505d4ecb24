import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { ErrorCode } from "../../errors.ts";
import { TOPIC_SUBSCRIBE, TOPIC_UNSUBSCRIBE } from "../../extensions/topics/topic.ts";
import { MAX_IDLE_TOPIC_BYTES } from "../../limits.ts";
import { rawClient } from "../../test-support/raw-memory.ts";
import { EXTENSIONS } from "../../test-support/raw-peer.ts";
import { topicScene } from "../../test-support/topic-scene.ts";
import { Type } from "../../testing/raw-frames.ts";

/** Starts a server with public topics `room:…` and one subscriber of `room:1`. */
async function roomScene() {
  const scene = await topicScene();
  const rooms = scene.server.topics("room:*", { authorize: () => true, presence: true });
  const client = await scene.join();
  const subscription = client.subscribe("room:1");
  await subscription.ready;
  return { ...scene, rooms, client, subscription };
}

describe("a topic of a pattern", () => {
  test("that doesn't exist is empty", async () => {
    const { rooms } = await roomScene();
    const { subscribers, size, presence, position, stats } = rooms.topic("room:2");
    expect({ subscribers, size, presence, position }).toEqual({
      subscribers: [],
      size: 0,
      presence: [],
      position: null,
    });
    expect(stats).toEqual({
      subscribers: 0,
      published: 0,
      dropped: 0,
      lagging: 0,
      keptMessages: 0,
      keptBytes: 0,
    });
  });

  test("that nobody is subscribed to counts by what it keeps, and not by all that it has kept", async () => {
    const { server } = await topicScene();
    const rooms = server.topics("room:*", { authorize: () => true, history: { messages: 1 } });
    const room = rooms.topic("room:1");
    const message = new Uint8Array(900_000);
    for (let bytes = 0; bytes <= MAX_IDLE_TOPIC_BYTES; bytes += message.length) room.publish(message);
    expect(room.stats.keptMessages).toBe(1);
  });

  test("must fit the pattern", async () => {
    const { rooms } = await roomScene();
    for (const name of ["hall:1", "room:", ""]) {
      expect(() => rooms.topic(name as "room:1")).toThrow(
        expect.objectContaining({
          code: ErrorCode.INVALID_CONFIG,
          message: `Topic '${name}' doesn't fit the pattern 'room:*'`,
        }),
      );
    }
  });

  test("ends when it is closed, and restarts with the next subscriber", async () => {
    const { rooms, client, subscription } = await roomScene();
    rooms.topic("room:2").close();
    expect(rooms.all.map(({ name }) => name)).toEqual(["room:1"]);
    rooms.topic("room:1").close();
    expect(await subscription.next()).toEqual({ done: true, value: undefined });
    expect(rooms.all).toEqual([]);
    await client.subscribe("room:1").ready;
    expect(rooms.topic("room:1").size).toBe(1);
  });

  test("ends when a topic of its name is defined, and has no part in that one", async () => {
    const { server, rooms, client, subscription } = await roomScene();
    const named = server.topic("room:1");
    expect(await subscription.next()).toEqual({ done: true, value: undefined });
    const again = client.subscribe("room:1");
    await again.ready;
    expect([named.size, rooms.topic("room:1").size, rooms.all]).toEqual([1, 0, []]);
    rooms.topic("room:1").close();
    expect([named.size, again.isLive]).toEqual([1, true]);
  });

  test("ends with its pattern, which may be closed again, and other topics stay", async () => {
    const { server, rooms, client, subscription } = await roomScene();
    const news = server.topic("news");
    await client.subscribe("news").ready;
    rooms.close();
    rooms.close();
    expect(await subscription.next()).toEqual({ done: true, value: undefined });
    expect(news.size).toBe(1);
    expect(() => rooms.topic("room:1").publish(1)).toThrow(
      expect.objectContaining({
        code: ErrorCode.INVALID_STATE,
        message: expect.stringContaining("Topic 'room:*' has ended"),
      }),
    );
  });

  test("is forgotten before others if its messages are older", async () => {
    const { runtime, server } = await topicScene();
    const short = server.topics("short:*", { authorize: () => true, history: { ageMs: 5000 } });
    const long = server.topics("long:*", { authorize: () => true, history: { ageMs: 20_000 } });
    long.topic("long:1").publish(1);
    short.topic("short:1").publish(1);
    short.topic("short:2").publish(1);
    const counts = (): number[] => [short.all.length, long.all.length];
    await runtime.advance(4000);
    expect(counts()).toEqual([2, 1]);
    await runtime.advance(2000);
    expect(counts()).toEqual([0, 1]);
    await runtime.advance(15_000);
    expect(counts()).toEqual([0, 0]);
  });

  test("is forgotten, the longest idle first, when 10,000 others keep messages", async () => {
    const { server } = await topicScene();
    const rooms = server.topics("room:*", { authorize: () => true, history: { messages: 1 } });
    for (let n = 1; n <= 10_001; n += 1) rooms.topic(`room:${n}`).publish(n);
    expect([rooms.all.length, rooms.all[0]?.name]).toEqual([10_000, "room:2"]);
  });
});

describe("a call of a client", () => {
  test.each([[5], [""], ["x".repeat(257)]])("to subscribe to %j is refused with INVALID_PARAMS", async (topic) => {
    const { runtime, server, port } = await topicScene();
    server.topic("news");
    const peer = await rawClient(runtime, port, { extensions: [...EXTENSIONS, "topic"] });
    peer.call(TOPIC_SUBSCRIBE, { topic });
    expect((await peer.next(Type.RPC_ERROR)).payload).toMatchObject({
      code: ErrorCode.INVALID_PARAMS,
      error: "topic must be a string of 1 to 256 characters",
    });
  });

  test.each([[5], ["unknown"], ["news"]])(
    "to unsubscribe from %j, where it isn't subscribed, changes nothing",
    async (topic) => {
      const { runtime, server, port } = await topicScene();
      server.topic("news");
      const peer = await rawClient(runtime, port, { extensions: [...EXTENSIONS, "topic"] });
      peer.call(TOPIC_UNSUBSCRIBE, { topic });
      expect((await peer.next(Type.RPC_RESPONSE)).payload).toMatchObject({ result: null });
    },
  );

  test("to publish what the schema makes too large is refused with MESSAGE_TOO_LARGE, as its own fault", async () => {
    const { server, join, errors } = await topicScene({ maxMessageBytes: 4096 });
    const schema = v.pipe(
      v.string(),
      v.transform((text) => text.repeat(1000)),
    );
    const news = server.topic("news", { publish: true, schema });
    const client = await join();
    await client.publish("news", "1");
    await expect(client.publish("news", "12345")).rejects.toMatchObject({ code: ErrorCode.MESSAGE_TOO_LARGE });
    expect([news.stats.published, errors]).toEqual([1, []]);
  });

  test("to publish fails inside the server if the schema throws", async () => {
    const { server, join, errors } = await topicScene();
    const schema = v.pipe(
      v.string(),
      v.transform(() => {
        throw new TypeError("a fault of the schema");
      }),
    );
    server.topic("news", { publish: true, schema });
    const client = await join();
    await expect(client.publish("news", "1")).rejects.toMatchObject({ code: ErrorCode.INTERNAL });
    expect(errors).toMatchObject([{ message: "a fault of the schema" }]);
  });

  test("is refused for a user that authorize gives, if that isn't a short string", async () => {
    const { server, join, errors } = await topicScene();
    const news = server.topic("news", { authorize: () => ({ user: "x".repeat(257) }) });
    await expect((await join()).subscribe("news").ready).rejects.toMatchObject({ code: ErrorCode.INTERNAL });
    expect(news.size).toBe(0);
    expect(errors).toMatchObject([
      { code: ErrorCode.INVALID_CONFIG, message: "user must be a string of at most 256 characters" },
    ]);
  });
});

describe("an asynchronous schema", () => {
  test("of a topic is refused when something is published, also if it refuses that", async () => {
    const { server } = await topicScene();
    const schema = v.pipeAsync(
      v.number(),
      v.checkAsync(async (n) => n > 1),
    );
    const news = server.topic("news", { schema });
    for (const data of [1, 2]) {
      expect(() => news.publish(data)).toThrow(
        expect.objectContaining({
          code: ErrorCode.INVALID_CONFIG,
          message: "The schema of topic 'news' must not be asynchronous",
        }),
      );
    }
    expect(news.stats.published).toBe(0);
  });
});
