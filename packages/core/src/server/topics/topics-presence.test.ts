import { describe, expect, test } from "vitest";
import type { PresenceChange } from "../../client/topics/presence-view.ts";
import type { Subscription } from "../../client/topics/subscription.ts";
import { TOPIC_PRESENCE_FRAME, TOPIC_SUBSCRIBE, TOPIC_UNSUBSCRIBE } from "../../extensions/topics/topic.ts";
import { type MemoryPeer, rawClient } from "../../test-support/raw-memory.ts";
import { topicScene } from "../../test-support/topic-scene.ts";
import type { Connection } from "../connection.ts";

describe("presence", () => {
  async function present() {
    const scene = await topicScene();
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

  test("forgets a member that subscribes again and leaves within the window, and says nothing of one that stays", async () => {
    const { runtime, raw, enter } = await present();
    const watcher = await enter("watcher");
    const again = await raw("room:7");
    await runtime.advance(150);
    const changes: PresenceChange[] = [];
    watcher.presence?.onChange((change) => changes.push(change));
    again.call(TOPIC_SUBSCRIBE, { topic: "room:7" }, 2);
    await runtime.settle();
    await runtime.advance(150);
    expect([watcher.presence?.size, changes.length]).toEqual([2, 1]);
    again.call(TOPIC_SUBSCRIBE, { topic: "room:7" }, 3);
    again.call(TOPIC_UNSUBSCRIBE, { topic: "room:7" }, 4);
    await runtime.settle();
    await runtime.advance(150);
    expect([watcher.presence?.size, changes.length]).toEqual([1, 2]);
  });

  test("forgets a member whose user changes just before it leaves", async () => {
    const { runtime, server, raw, join } = await topicScene();
    let user = "first";
    server.topic("lobby", { presence: true, authorize: () => ({ user }) });
    const watcher = (await join()).subscribe("lobby");
    await watcher.ready;
    const member = await raw("lobby");
    await runtime.advance(150);
    expect(watcher.presence?.size).toBe(2);
    user = "second";
    member.call(TOPIC_SUBSCRIBE, { topic: "lobby" }, 2);
    member.call(TOPIC_UNSUBSCRIBE, { topic: "lobby" }, 3);
    await runtime.settle();
    await runtime.advance(150);
    expect(watcher.presence?.clients.map((client) => client.user)).toEqual(["first"]);
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

  test.each([
    ["was told before", 150],
    ["has just come", 0],
  ])("is sent as a whole to a watcher that %s and didn't read, when it reads", async (_what, beforeMs) => {
    const { runtime, server, raw, join } = await topicScene({ sendQueueSize: 5, slowConsumer: "drop" });
    const lobby = server.topic("lobby", { presence: true });
    const watcher = await raw("lobby");
    await runtime.advance(beforeMs);
    watcher.pause();
    for (let n = 0; n < 20; n += 1) {
      server.broadcast("noise", "x".repeat(70_000));
      await runtime.settle();
    }
    const newcomer = (await join()).subscribe("lobby");
    await newcomer.ready;
    await runtime.advance(150);
    expect([newcomer.presence?.size, lobby.presence.length]).toEqual([2, 2]);
    watcher.resume();
    await runtime.settle();
    await runtime.advance(150);
    const lists = watcher.frames.all.filter(({ type }) => type === TOPIC_PRESENCE_FRAME).map(({ payload }) => payload);
    const everybody = lobby.presence.map(({ id, user }) => [id, user]);
    expect(lists.at(-1)).toEqual({ reset: true, joined: everybody, left: [] });
    newcomer.close();
    await runtime.settle();
    await runtime.advance(150);
    const last = watcher.frames.all.findLast(({ type }) => type === TOPIC_PRESENCE_FRAME);
    expect(last?.payload).toEqual({ reset: false, joined: [], left: [everybody[1]?.[0]] });
  });

  test("of a list of a thousand comes in parts", async () => {
    const { runtime, server, raw, port } = await topicScene({ maxConnections: 2000 });
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
    const { runtime, server, port, errors } = await topicScene({ maxMessageBytes: 4096, sendQueueSize: 5000 });
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
