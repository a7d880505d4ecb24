import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { ErrorCode } from "../../errors.ts";
import { taken, topicScene } from "../../test-support/topic-scene.ts";

describe("topics of a pattern", () => {
  test("exist while they have subscribers", async () => {
    const { runtime, server, join } = await topicScene();
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
    const { runtime, server, join } = await topicScene();
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
    const { server, join } = await topicScene({ maxMessageBytes: 1024 });
    const schema = v.object({ text: v.string() });
    const rooms = server.topics("room:*", { authorize: () => true, publish: true, history: { messages: 5 }, schema });
    const client = await join();
    await client.publish("room:1", { text: "kept" });
    if (typeof data.text === "number") await expect(client.publish("room:2", data)).rejects.toThrow();
    expect(() => rooms.topic("room:3").publish(data as never)).toThrow();
    expect(rooms.all.map(({ name }) => name)).toEqual(["room:1"]);
  });

  test("give way to a topic of their name", async () => {
    const { server, join } = await topicScene();
    server.topics("room:*", { authorize: () => false });
    server.topic("room:lobby");
    const client = await join();
    await client.subscribe("room:lobby").ready;
    await expect(client.subscribe("room:1").ready).rejects.toMatchObject({ code: ErrorCode.PERMISSION_DENIED });
    await expect(client.subscribe("room:").ready).rejects.toMatchObject({ code: ErrorCode.NOT_FOUND });
  });

  test("end with the pattern", async () => {
    const { runtime, server, join } = await topicScene();
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
