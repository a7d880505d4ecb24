import { type CloseReason, ErrorCode, type SlowConsumer } from "@netconduit/core";
import { describe, expect, test } from "vitest";
import { gate } from "../../packages/core/src/test-support/gate.ts";
import type { RawPeer } from "../../packages/core/src/test-support/raw-peer.ts";
import { EventLog } from "../../packages/core/src/testing/event-log.ts";
import { Type } from "../../packages/core/src/testing/raw-frames.ts";
import { thrownBy } from "../support/failures.ts";
import type { OpenClient, OpenServer, Subject } from "../support/subject.ts";
import { until } from "../support/turns.ts";
import { connectionOf, PASSWORD, PATIENT, type Stage, stagedOn } from "./stage.ts";

const KIB_256 = "x".repeat(256 * 1024);
/** Number of messages of 256 KiB: more than any kernel buffers per connection. */
const MOST_BROADCASTS = 400;

interface Crowd {
  readonly server: OpenServer;
  readonly clients: readonly OpenClient[];
  readonly ids: readonly string[];
  /** Names of the clients that received `news`, in any order. */
  readonly heard: EventLog<string>;
  /** Names of the clients that received `end`. */
  readonly ended: EventLog<string>;
}

/** Starts a server and three clients, named 0, 1 and 2. */
async function crowd(stage: Stage): Promise<Crowd> {
  const server = await stage.listen();
  const heard = new EventLog<string>();
  const ended = new EventLog<string>();
  const clients: OpenClient[] = [];
  for (const name of ["0", "1", "2"]) {
    const client = await stage.join(server, { name });
    client.on("news", () => heard.add(name));
    client.on("end", () => ended.add(name));
    clients.push(client);
  }
  return { server, clients, ids: clients.map((client) => connectionOf(server, client).id), heard, ended };
}

/** Returns the names of the clients that received the previous broadcasts. */
async function hearers({ server, heard, ended }: Crowd): Promise<string[]> {
  const before = ended.all.length;
  server.broadcast("end");
  // When this message has arrived everywhere, earlier messages have as well.
  await until(() => ended.all.length === before + 3);
  return heard.all.toSorted();
}

interface Scene {
  readonly server: OpenServer;
  /** The client that doesn't read. */
  readonly sleeper: RawPeer;
  readonly reports: EventLog<SlowConsumer & { readonly id: string }>;
  readonly ends: EventLog<CloseReason & { readonly id: string }>;
  readonly sleeperId: string;
  /** Number of broadcasts until the first report, all of which arrived at the client that reads. */
  readonly broadcasts: number;
}

/** Starts a client that reads and one that doesn't, and broadcasts until the server reports the latter. */
async function slowScene(stage: Stage, slowConsumer: "drop" | "disconnect"): Promise<Scene> {
  const server = await stage.listen({ slowConsumer, sendQueueSize: 8 });
  const reports = new EventLog<SlowConsumer & { id: string }>();
  const ends = new EventLog<CloseReason & { id: string }>();
  server.onSlowConsumer(({ id }, report) => reports.add({ id, ...report }));
  server.onClientDisconnect(({ id }, reason) => ends.add({ id, ...reason }));
  const sleeper = await stage.rawLoggedIn(server);
  const sleeperId = server.connections[0]?.id as string;
  const reader = await stage.join(server);
  const news = new EventLog<unknown>();
  reader.on("news", (data) => news.add((data as { n: number }).n));
  sleeper.pause();
  let broadcasts = 0;
  while (reports.all.length === 0) {
    if (broadcasts === MOST_BROADCASTS) throw new Error("The server never noticed the client that does not read");
    const reached = server.broadcast("news", { n: broadcasts++, filler: KIB_256 });
    expect(reached).toBe(reports.all.length === 0 ? 2 : 1);
    await news.count(broadcasts);
  }
  expect(news.all).toEqual(Array.from({ length: broadcasts }, (_, n) => n));
  return { server, sleeper, reports, ends, sleeperId, broadcasts };
}

/** Broadcasts: recipients, and clients that don't read. */
export function describeBroadcast(subject: Subject): void {
  const staged = stagedOn(subject);

  describe(`broadcasts on ${subject.name}`, PATIENT, () => {
    test(
      "a broadcast reaches all clients and returns how many",
      staged(async (stage) => {
        const scene = await crowd(stage);
        expect(scene.server.broadcast("news", { a: 1 })).toBe(3);
        expect(await hearers(scene)).toEqual(["0", "1", "2"]);
      }),
    );

    test(
      "a broadcast without clients reaches none",
      staged(async (stage) => {
        const server = await stage.listen();
        expect(server.broadcast("news")).toBe(0);
      }),
    );

    for (const [form, exclude] of [
      ["one id", (ids) => ids[1] as string],
      ["an array of ids", (ids) => [ids[1] as string, "unknown"]],
      ["a set of ids", (ids) => new Set([ids[1] as string])],
    ] as const satisfies readonly [string, (ids: readonly string[]) => string | Iterable<string>][]) {
      test(
        `exclude leaves out ${form}, include admits it alone`,
        staged(async (stage) => {
          const scene = await crowd(stage);
          expect(scene.server.broadcast("news", 1, { exclude: exclude(scene.ids) })).toBe(2);
          expect(await hearers(scene)).toEqual(["0", "2"]);
          const again = await crowd(stage);
          expect(again.server.broadcast("news", 1, { include: exclude(again.ids) })).toBe(1);
          expect(await hearers(again)).toEqual(["1"]);
        }),
      );
    }

    test(
      "where admits the connections it returns true for",
      staged(async (stage) => {
        const scene = await crowd(stage);
        expect(scene.server.broadcast("news", 1, { where: ({ info }) => info.name !== "0" })).toBe(2);
        expect(await hearers(scene)).toEqual(["1", "2"]);
      }),
    );

    test(
      "include, exclude and where hold together",
      staged(async (stage) => {
        const scene = await crowd(stage);
        const [first, second] = scene.ids as [string, string];
        const options = { include: [first, second], exclude: first, where: () => true };
        expect(scene.server.broadcast("news", 1, options)).toBe(1);
        expect(await hearers(scene)).toEqual(["1"]);
        expect(scene.server.broadcast("news", 1, { include: [] })).toBe(0);
      }),
    );

    test(
      "a broadcast made inside the filter of another one leaves both intact",
      staged(async (stage) => {
        const server = await stage.listen();
        const client = await stage.join(server);
        const heard = new EventLog<unknown>();
        client.on(["inner", "outer"], (data) => heard.add(data));
        server.broadcast("outer", "outer", {
          where: () => server.broadcast("inner", "inner") === 1,
        });
        expect(await heard.count(2)).toEqual(["inner", "outer"]);
      }),
    );

    test(
      "a broadcast is encoded once, however many get it",
      staged(async (stage) => {
        const { server, ids, heard } = await crowd(stage);
        let reads = 0;
        const data = {
          get value() {
            reads++;
            return 1;
          },
        };
        expect(server.broadcast("news", data, { include: ids[0] })).toBe(1);
        const readsForOne = reads;
        expect(server.broadcast("news", data)).toBe(3);
        await heard.count(4);
        expect(reads - readsForOne).toBe(readsForOne);
      }),
    );

    test(
      "a hundred clients each get a hundred broadcasts in order",
      staged(async (stage) => {
        const server = await stage.listen();
        const expected = Array.from({ length: 100 }, (_, n) => n);
        const heards = expected.map(() => new EventLog<unknown>());
        await Promise.all(
          heards.map(async (heard) => {
            const client = await stage.join(server);
            client.on("news", heard.add);
          }),
        );
        for (let n = 0; n < 100; n++) expect(server.broadcast("news", n)).toBe(100);
        for (const heard of heards) expect(await heard.count(100)).toEqual(expected);
      }),
    );

    test(
      "a broadcast does not reach clients that have not logged in",
      staged(async (stage) => {
        const server = await stage.listen();
        const stranger = await stage.raw(server);
        await until(() => server.stats.accepted === 1);
        expect(server.broadcast("news", 1)).toBe(0);
        await stranger.login({ password: PASSWORD });
        expect(server.broadcast("news", 2)).toBe(1);
        expect((await stranger.next()).payload).toEqual({ type: "news", data: 2 });
      }),
    );

    test(
      "a broadcast from a connect hook reaches the others; exclude leaves out the new client",
      staged(async (stage) => {
        const server = await stage.listen();
        server.onClientConnect(({ id }) => void server.broadcast("joined", id, { exclude: id }));
        const heard = new EventLog<unknown>();
        const first = await stage.join(server);
        first.on("joined", (data) => heard.add(data));
        const second = await stage.join(server);
        expect(await heard.next()).toBe(connectionOf(server, second).id);
      }),
    );

    test(
      "data that cannot be sent throws, and no client gets anything",
      staged(async (stage) => {
        const server = await stage.listen({ maxMessageBytes: 1024 });
        const peer = await stage.rawLoggedIn(server);
        expect(thrownBy(() => server.broadcast("news", { at: () => 1 })).code).toBe(ErrorCode.UNSERIALIZABLE);
        expect(thrownBy(() => server.broadcast("news", KIB_256)).code).toBe(ErrorCode.MESSAGE_TOO_LARGE);
        server.broadcast("news", "fine");
        expect(await peer.next()).toMatchObject({ type: Type.MESSAGE, payload: { data: "fine" } });
      }),
    );

    test(
      "drop: a client that does not read misses messages, a hook is called, and the others receive everything",
      staged(async (stage) => {
        const scene = await slowScene(stage, "drop");
        const report = await scene.reports.next();
        expect(report).toMatchObject({ id: scene.sleeperId, action: "dropped", queuedMessages: 8 });
        expect(report.bufferedBytes).toBeGreaterThanOrEqual(8 * KIB_256.length);
        const connection = scene.server.connection(scene.sleeperId);
        expect(connection?.stats.dropped).toBe(1);
        expect(scene.ends.all).toEqual([]);

        // After it resumes reading, it receives the queued messages without the dropped ones, then new messages.
        scene.sleeper.resume();
        await scene.sleeper.frames.count(scene.broadcasts - 1);
        scene.server.broadcast("news", { n: "new" });
        const frames = await scene.sleeper.frames.count(scene.broadcasts + 2);
        const numbers = frames
          .filter(({ type }) => type === Type.MESSAGE)
          .map(({ payload }) => (payload as { data: { n: unknown } }).data.n);
        expect(numbers).toEqual([...Array.from({ length: scene.broadcasts - 1 }, (_, n) => n), "new"]);
      }),
    );

    test(
      "disconnect: a client that does not read is disconnected, a hook is called, and the others receive everything",
      staged(async (stage) => {
        const scene = await slowScene(stage, "disconnect");
        expect(await scene.reports.next()).toMatchObject({
          id: scene.sleeperId,
          action: "disconnected",
          queuedMessages: 8,
        });
        expect(await scene.ends.next()).toMatchObject({
          id: scene.sleeperId,
          code: ErrorCode.SLOW_CONSUMER,
          byPeer: false,
        });
        expect(scene.server.connectionCount).toBe(1);
        expect(scene.server.broadcast("news", { n: "new" })).toBe(1);
        scene.sleeper.resume();
        const how = await scene.sleeper.over;
        if (subject.capabilities.destroyResets) expect(how).toBe("ECONNRESET");
      }),
    );

    test(
      "an onSlowConsumer hook can be removed, and one that fails is reported",
      staged(async (stage) => {
        const server = await stage.listen({ slowConsumer: "drop", sendQueueSize: 1 });
        const errors = new EventLog<string | undefined>();
        server.onError((_error, { name }) => errors.add(name));
        const removed = new EventLog<unknown>();
        server.onSlowConsumer(removed.add)();
        server.onSlowConsumer(() => {
          throw new Error("broken");
        });
        const client = await stage.join(server, { handlerConcurrency: 1, receiveQueueSize: 1 });
        const hold = gate();
        client.on("news", () => hold.promise);
        // The client's handler hangs, so it requests a pause, and one message fills the server's queue.
        server.broadcast("news");
        server.broadcast("news");
        await until(() => server.connections[0]?.state === "paused");
        server.broadcast("news");
        expect(server.broadcast("news")).toBe(0);
        expect(await errors.next()).toBe("onSlowConsumer");
        expect(removed.all).toEqual([]);
        hold.open();
      }),
    );
  });
}
