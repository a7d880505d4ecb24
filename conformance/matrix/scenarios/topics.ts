import assert from "node:assert/strict";
import type { Resumption, Subscription } from "@netconduit/core";
import { EventLog } from "../../../packages/core/src/testing/event-log.ts";
import type { Scenario } from "../scenario.ts";

const MANY = 2000;
const LARGE_BYTES = 256 * 1024;

/** One runtime publishes, and clients on another receive. */
export const topics: readonly Scenario[] = [
  {
    title:
      "what is published to a topic arrives at its subscribers alone, in order, a large message between small ones",
    async server(half) {
      const server = half.server();
      const news = server.topic("news", { retain: 1 });
      news.publish("before");
      server.topic("other");
      await half.open(server);
      await half.waitFor("subscribed");
      for (let n = 0; n < MANY; n += 1) {
        news.publish(n % 1000 === 999 ? new Uint8Array(LARGE_BYTES).fill(n & 0xff) : n);
        // Publishing to a full queue drops a subscriber.
        if (n % 100 === 99) await Promise.all(news.subscribers.map((connection) => connection.drained()));
      }
      await half.waitFor("all");
    },
    async client(half) {
      const client = await half.join();
      const [first, second] = [client, await half.join()].map((one) =>
        one.subscribe<number | string | Uint8Array>("news", { buffer: MANY }),
      );
      const other = client.subscribe("other");
      assert.ok(first !== undefined && second !== undefined);
      await Promise.all([first.ready, second.ready, other.ready]);
      half.tell("subscribed");
      const takeAll = async (subscription: Subscription<number | string | Uint8Array>): Promise<void> => {
        assert.equal((await subscription.next()).value, "before");
        for (let n = 0; n < MANY; n += 1) {
          const { value } = await subscription.next();
          const isLarge = n % 1000 === 999;
          assert.equal(value instanceof Uint8Array ? value.length : value, isLarge ? LARGE_BYTES : n);
        }
        assert.equal(subscription.dropped, 0);
      };
      await Promise.all([takeAll(first), takeAll(second)]);
      assert.equal(other.waiting, 0);
      half.tell("all");
    },
  },
  {
    title: "a subscription returns after a reconnect with what was published meanwhile",
    async server(half) {
      const server = half.server();
      const news = server.topic("news", { history: { messages: 100 } });
      const arrivals = await half.open(server);
      const connection = await arrivals.next();
      await half.waitFor("subscribed");
      news.publish(1);
      await connection.close("come back", { reconnect: true });
      for (const n of [2, 3]) news.publish(n);
      await half.waitFor("back");
      news.publish(4);
      await half.waitFor("all");
    },
    async client(half) {
      const client = await half.client({ reconnect: { enabled: true, delayMs: 1, maxDelayMs: 1 } });
      const subscription = client.subscribe<number>("news");
      const resumptions = new EventLog<Resumption>();
      subscription.onResume(resumptions.add);
      await client.connect();
      await subscription.ready;
      half.tell("subscribed");
      assert.deepEqual(await resumptions.next(), { recovered: true, missed: 0 });
      half.tell("back");
      for (const n of [1, 2, 3, 4]) assert.equal((await subscription.next()).value, n);
      half.tell("all");
    },
  },
  {
    title: "clients of a room publish to each other, and see who comes and goes",
    async server(half) {
      const server = half.server();
      const rooms = server.topics("room:*", {
        presence: true,
        publish: "subscribers",
        authorize: ({ info }) => ({ user: info.name }),
      });
      await half.open(server);
      await half.waitFor("all");
      assert.deepEqual(
        rooms.all.map(({ name, presence }) => [name, presence.length]),
        [["room:ä", 1]],
      );
      half.tell("seen");
    },
    async client(half) {
      const [ada, grace] = [await half.join({ name: "Ada" }), await half.join({ name: "Grace" })];
      const room = ada.subscribe("room:ä");
      await room.ready;
      const changes = new EventLog<readonly (readonly string[])[]>();
      room.presence?.onChange(({ usersJoined, usersLeft }) => changes.add([usersJoined, usersLeft]));
      assert.deepEqual(await changes.next(), [["Ada"], []]);
      await grace.subscribe("room:ä").ready;
      assert.deepEqual(await changes.next(), [["Grace"], []]);
      await grace.publish("room:ä", { text: "Hello, Ada", at: new Date(1.5e12) });
      assert.deepEqual((await room.next()).value, { text: "Hello, Ada", at: new Date(1.5e12) });
      await grace.disconnect();
      assert.deepEqual(await changes.next(), [[], ["Grace"]]);
      half.tell("all");
      await half.waitFor("seen");
    },
  },
];
