import { ErrorCode, type Resumption, type SlowConsumer, type Subscription } from "@netconduit/core";
import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import type { OpenClient, Subject } from "../support/subject.ts";
import { until } from "../support/turns.ts";
import { connectionOf, PATIENT, stagedOn } from "./stage.ts";

const KIB_256 = "x".repeat(256 * 1024);
/** Number of messages of 256 KiB: more than any kernel buffers per connection. */
const MOST_PUBLISHED = 400;
const SUBSCRIBE = "$topic.subscribe";
const START = 0x0130;
const DATA = 0x0131;

/** Subscribes a client and waits for the start. */
async function subscribed<T>(client: OpenClient, name: string): Promise<Subscription<T>> {
  const subscription = client.subscribe<T>(name);
  await subscription.ready;
  return subscription;
}

/** Returns a subscription's next items. */
async function next<T>(subscription: Subscription<T>, count: number): Promise<(T | undefined)[]> {
  const items: (T | undefined)[] = [];
  while (items.length < count) items.push((await subscription.next()).value);
  return items;
}

/** Topics: subscribing, publishing, history, slow subscribers and presence. */
export function describeTopics(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`topics on ${subject.name}`, PATIENT, () => {
    test(
      "a publish reaches the subscribers of its topic alone, in order",
      staged(async (stage) => {
        const server = await stage.listen();
        const news = server.topic("news");
        server.topic("other");
        const clients = [await stage.join(server), await stage.join(server), await stage.join(server)] as const;
        const first = await subscribed(clients[0], "news");
        const second = await subscribed(clients[1], "news");
        const other = await subscribed(clients[2], "other");
        for (let n = 0; n < 1000; n += 1) expect(news.publish(n)).toBe(2);
        const all = Array.from({ length: 1000 }, (_, n) => n);
        expect(await next(first, 1000)).toEqual(all);
        expect(await next(second, 1000)).toEqual(all);
        expect([other.waiting, other.dropped]).toEqual([0, 0]);
      }),
    );

    test(
      "clients talk in rooms that come and go with them",
      staged(async (stage) => {
        const server = await stage.listen();
        const rooms = server.topics("room:*", {
          schema: v.object({ text: v.string() }),
          authorize: async (_connection, name) => name !== "room:closed",
          publish: "subscribers",
        });
        const [ada, grace] = [await stage.join(server), await stage.join(server)];
        const heard = await subscribed<{ text: string }>(grace, "room:7");
        await expect(ada.publish("room:7", { text: "hi" })).rejects.toMatchObject({
          code: ErrorCode.PERMISSION_DENIED,
        });
        const own = await subscribed(ada, "room:7");
        await ada.publish("room:7", { text: "hello" });
        await expect(ada.publish("room:7", { text: 7 })).rejects.toMatchObject({ code: ErrorCode.INVALID_TYPE });
        await expect(subscribed(ada, "room:closed")).rejects.toMatchObject({ code: ErrorCode.PERMISSION_DENIED });
        await expect(subscribed(ada, "rome:7")).rejects.toMatchObject({ code: ErrorCode.NOT_FOUND });
        expect(await next(heard, 1)).toEqual([{ text: "hello" }]);
        own.close();
        await grace.disconnect();
        await until(() => rooms.all.length === 0);
      }),
    );

    test(
      "a message of a mebibyte keeps its place between small ones",
      staged(async (stage) => {
        const server = await stage.listen();
        const news = server.topic("news");
        const subscription = await subscribed<string | Uint8Array>(await stage.join(server), "news");
        news.publish("before");
        news.publish(new Uint8Array(1024 * 1024).fill(7));
        news.publish("after");
        const lengths = (await next(subscription, 3)).map((item) => item?.length);
        expect(lengths).toEqual([6, 1024 * 1024, 5]);
      }),
    );

    test(
      "a subscription returns after a reconnect without a gap",
      staged(async (stage) => {
        const server = await stage.listen();
        const news = server.topic("news", { history: { messages: 100 } });
        const client = await stage.join(server, { reconnect: { enabled: true, delayMs: 1 } });
        const subscription = await subscribed<number>(client, "news");
        const resumptions = new EventLog<Resumption>();
        subscription.onResume(resumptions.add);
        let n = 0;
        for (let round = 1; round <= 3; round += 1) {
          for (let count = 0; count < 10; count += 1) news.publish(n++);
          await connectionOf(server, client).close("come back", { reconnect: true });
          for (let count = 0; count < 10; count += 1) news.publish(n++);
          expect((await resumptions.count(round)).at(-1)).toEqual({ recovered: true, missed: 0 });
        }
        expect(await next(subscription, n)).toEqual(Array.from({ length: n }, (_, index) => index));
        expect(subscription.dropped).toBe(0);
      }),
    );

    test(
      "a subscription that returns to a server that was restarted says that it may have missed something",
      staged(async (stage) => {
        const first = await stage.listen();
        first.topic("news", { history: { messages: 100 } });
        const { port } = first.address;
        const client = await stage.join(first, { reconnect: { enabled: true, delayMs: 1, maxDelayMs: 20 } });
        const subscription = await subscribed<number>(client, "news");
        const resumptions = new EventLog<Resumption>();
        subscription.onResume(resumptions.add);
        await first.stop({ drainMs: 0 });
        const second = stage.server({ port });
        second.topic("news", { retain: 1 }).publish("new");
        await second.start();
        expect(await resumptions.next()).toEqual({ recovered: false, missed: null });
        expect(await next(subscription, 1)).toEqual(["new"]);
      }),
    );

    for (const slow of ["drop-oldest", "latest", "drop-newest", "disconnect"] as const) {
      test(
        `${slow}: a subscriber that doesn't read costs the others nothing`,
        staged(async (stage) => {
          const server = await stage.listen({ sendQueueSize: 8 });
          const reports = new EventLog<SlowConsumer>();
          server.onSlowConsumer((_connection, report) => reports.add(report));
          const news = server.topic("news", { slow, slowBuffer: 4 });
          const sleeper = await stage.rawLoggedIn(server, { extensions: ["topic", "call", "close"] });
          sleeper.call(SUBSCRIBE, { topic: "news" });
          await sleeper.next(START);
          const reader = await subscribed<{ n: number }>(await stage.join(server), "news");
          sleeper.pause();
          const keepsForLater = slow === "drop-oldest" || slow === "latest";
          let n = 0;
          const isSlow = (): boolean => (keepsForLater ? n === 100 : reports.all.length > 0);
          while (!isSlow()) {
            if (n === MOST_PUBLISHED) throw new Error("The server never noticed the subscriber that does not read");
            news.publish({ n, filler: KIB_256 });
            expect((await next(reader, 1))[0]?.n).toBe(n);
            n += 1;
          }
          if (slow === "disconnect") {
            await until(() => news.size === 1);
            return;
          }
          sleeper.resume();
          if (slow === "drop-newest") {
            await until(() => server.connections.every(({ bufferedBytes }) => bufferedBytes === 0));
            news.publish({ n });
          }
          const last = slow === "drop-newest" ? n : n - 1;
          const got: number[] = [];
          while (got.at(-1) !== last) {
            const { payload } = await sleeper.next(DATA);
            got.push((payload as { data: { n: number } }).data.n);
          }
          expect(got).toEqual(got.toSorted((a, b) => a - b));
          expect(news.stats).toMatchObject({ dropped: last + 1 - got.length, lagging: 0 });
        }),
      );
    }

    test(
      "presence lists members, and reports those whose network is lost",
      staged(async (stage) => {
        const server = await stage.listen();
        server.topics("room:*", { presence: true, authorize: ({ info }) => ({ user: info.name }) });
        const ada = await subscribed(await stage.join(server, { name: "ada" }), "room:7");
        const changes = new EventLog<readonly [joined: readonly string[], left: readonly string[]]>();
        ada.presence?.onChange(({ usersJoined, usersLeft }) => changes.add([usersJoined, usersLeft]));
        expect(await changes.next()).toEqual([["ada"], []]);
        const grace = await stage.rawLoggedIn(server, {
          extensions: ["topic", "call"],
          info: { client_name: "grace", name: "grace" },
        });
        grace.call(SUBSCRIBE, { topic: "room:7" });
        const [joined] = await changes.next();
        expect(joined?.length).toBe(1);
        grace.reset();
        expect(await changes.next()).toEqual([[], joined]);
      }),
    );

    test(
      "presence has the users who logged in, unless the server says another one, or nobody",
      staged(async (stage) => {
        const server = await stage.listen({ users: { ada: { password: "lovelace" } } });
        const lobby = server.topic("lobby", { presence: true });
        const hall = server.topic("hall", { presence: true, authorize: async () => true });
        const alias = server.topic("alias", { presence: true, authorize: () => ({ user: "countess" }) });
        const hidden = server.topic("hidden", { presence: true, authorize: () => ({ user: null }) });
        const ada = await stage.join(server, { username: "ada", password: "lovelace" });
        const topics = [lobby, hall, alias, hidden];
        await Promise.all(topics.map(({ name }) => subscribed(ada, name)));
        const usersOf = ({ presence }: typeof lobby): readonly (string | null)[] => presence.map(({ user }) => user);
        expect(topics.map(usersOf)).toEqual([["ada"], ["ada"], ["countess"], [null]]);

        await subscribed(await stage.join(server), "lobby");
        expect(usersOf(lobby)).toEqual(["ada", null]);

        const added = server.topic("added", { presence: true });
        added.add(connectionOf(server, ada));
        expect(usersOf(added)).toEqual(["ada"]);
      }),
    );

    test(
      "a hundred clients that come at once each see all of them",
      staged(async (stage) => {
        const server = await stage.listen({ maxConnections: 100 });
        const lobby = server.topic("lobby", { presence: true });
        const subscriptions = await Promise.all(
          Array.from({ length: 100 }, async () => subscribed(await stage.join(server), "lobby")),
        );
        expect(lobby.presence.length).toBe(100);
        await until(() => subscriptions.every(({ presence }) => presence?.size === 100));
      }),
    );

    test(
      "a member that the server adds receives, until its connection ends",
      staged(async (stage) => {
        const server = await stage.listen();
        const lobby = server.topic("lobby");
        const client = await stage.join(server);
        const begun = new EventLog<Subscription>();
        client.onSubscribed(begun.add);
        const connection = connectionOf(server, client);
        expect(lobby.add(connection)).toBe(true);
        lobby.publish("hello");
        const subscription = await begun.next();
        expect(await next(subscription, 1)).toEqual(["hello"]);
        await client.disconnect();
        await until(() => lobby.size === 0);
        expect(() => lobby.add(connection)).toThrow(expect.objectContaining({ code: ErrorCode.CONNECTION_CLOSED }));
      }),
    );
  });
}
