import { describe, expect, test } from "vitest";
import type { Subscription } from "../../client/topics/subscription.ts";
import { dataOf, taken, topicScene } from "../../test-support/topic-scene.ts";
import { type KeptMessages, TopicMemory } from "./topic-memory.ts";

describe("what topics of patterns keep", () => {
  const KIB = 1024;
  const room = (n: number): `room:${number}` => `room:${n}`;

  async function scene(maxTopicBytes: number, options: object = { history: { messages: 100 } }) {
    const all = await topicScene({ maxTopicBytes });
    const rooms = all.server.topics("room:*", { authorize: () => true, ...options });
    const kept = (count: number): number[] =>
      Array.from({ length: count }, (_, n) => rooms.topic(room(n)).stats.keptMessages);
    const publish = (n: number, count: number, size: number): void => {
      for (let left = count; left > 0; left -= 1) rooms.topic(room(n)).publish(new Uint8Array(size));
    };
    return { ...all, rooms, kept, publish };
  }

  test("is bounded together, also while they have subscribers: the largest lose their oldest messages", async () => {
    const { server, join, kept, publish } = await scene(256 * KIB);
    const client = await join();
    for (let n = 0; n < 6; n += 1) await client.subscribe(room(n)).ready;
    publish(0, 10, 1 * KIB);
    publish(1, 100, 10 * KIB);
    expect(kept(2)).toEqual([10, expect.any(Number)]);
    expect(kept(2)[1]).toBeGreaterThan(20);
    for (const n of [2, 3, 4, 5]) publish(n, 100, 10 * KIB);
    const [small, ...large] = kept(6);
    const sum = large.reduce((total, count) => total + count, 0);
    expect([small, sum > 15, sum < 25, Math.min(...large) > 0]).toEqual([10, true, true, true]);
    await server.stop({ drainMs: 0 });
  });

  test("counts more than the bytes of tiny messages", async () => {
    const { join, kept, publish } = await scene(256 * KIB);
    const client = await join();
    for (let n = 0; n < 20; n += 1) await client.subscribe(room(n)).ready;
    for (let n = 0; n < 20; n += 1) publish(n, 100, 1);
    expect(kept(20).reduce((total, count) => total + count, 0)).toBeLessThan(1000);
  });

  test("is given back when a topic goes", async () => {
    const { runtime, join, kept, publish } = await scene(256 * KIB, { history: { messages: 100, ageMs: 1000 } });
    const client = await join();
    const subscription = client.subscribe(room(0));
    await subscription.ready;
    publish(0, 20, 10 * KIB);
    subscription.close();
    await runtime.advance(2000);
    await client.subscribe(room(1)).ready;
    publish(1, 20, 10 * KIB);
    expect(kept(2)).toEqual([0, 20]);
  });

  test("leaves a subscriber that was behind with what is still there", async () => {
    const { runtime, join, raw, rooms, publish } = await scene(64 * KIB, { slow: "drop-oldest" });
    const slow = await raw(room(0));
    slow.pause();
    const others: Subscription[] = [];
    for (const n of [0, 1]) {
      const subscription = (await join()).subscribe(room(n));
      await subscription.ready;
      others.push(subscription);
    }
    const topic = rooms.topic(room(0));
    for (let n = 0; n < 200; n += 1) {
      topic.publish(new Uint8Array(10 * KIB).fill(n));
      await runtime.settle();
    }
    publish(1, 1, KIB);
    slow.resume();
    await runtime.settle();
    const received = (await dataOf(slow)).map((data) => (data as Uint8Array)[0]);
    expect(received.at(-1)).toBe(199);
    expect(received.length).toBeLessThan(100);
    expect([(await taken(others[0] as Subscription)).length, topic.stats.dropped > 0]).toEqual([200, true]);
  });

  test("of topics that the server named isn't bounded so", async () => {
    const { server } = await scene(64 * KIB);
    const news = server.topic("news", { history: { messages: 100 } });
    for (let n = 0; n < 50; n += 1) news.publish(new Uint8Array(10 * KIB));
    expect(news.stats.keptMessages).toBe(50);
  });
});

test("a topic that has lost a hundred thousand messages for another has room again", () => {
  const memory = new TopicMemory(100_000);
  const topic = (): KeptMessages & { left: number } => ({
    countedBytes: 0,
    left: 0,
    dropOldest() {
      this.left -= 1;
      memory.count(this, this.left);
    },
  });
  const [first, second] = [topic(), topic()];
  for (const [one, left] of [
    [first, 100_000],
    [second, 90_000],
  ] as const) {
    one.left = left;
    memory.count(one, left);
  }
  expect(first.left + second.left).toBe(100_000);
  memory.count(first, 0);
  expect([first.countedBytes, second.countedBytes === second.left]).toEqual([0, true]);
});
