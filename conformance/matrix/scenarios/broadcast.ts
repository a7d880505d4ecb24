import assert from "node:assert/strict";
import { type CloseReason, type Connection, ErrorCode, type SlowConsumer } from "@netconduit/core";
import { Heard, thrownBy } from "../../behaviour/heard.ts";
import { Type } from "../../behaviour/raw-peer.ts";
import type { OpenServer } from "../../behaviour/subject.ts";
import type { ClientHalf } from "../client-half.ts";
import type { Scenario } from "../scenario.ts";
import type { ServerHalf } from "../server-half.ts";

const NAMES = ["0", "1", "2"];
const KIB_256 = "x".repeat(256 * 1024);
/** More than any kernel buffers for one connection, times 256 KiB. */
const MOST_BROADCASTS = 400;

/** Opens a server and awaits three clients named 0, 1, 2. @returns their ids in the order of their names. */
async function crowd(half: ServerHalf, server: OpenServer): Promise<string[]> {
  const arrivals = await (await half.open(server)).count(NAMES.length);
  const byName = new Map(arrivals.map(({ info, id }) => [info.name, id]));
  return NAMES.map((name) => byName.get(name) as string);
}

/** Three clients that tell which of them heard what until each has heard `last`. */
async function listeners(half: ClientHalf): Promise<void> {
  const heard: string[] = [];
  const over = new Heard<string>();
  for (const name of NAMES) {
    const client = await half.client({ name });
    client.on("news", (data) => void heard.push(`${name}: ${String(data)}`));
    client.on("last", () => over.add(name));
    await client.connect();
  }
  await over.count(NAMES.length);
  half.tell("heard", heard.sort());
}

/** A socket that does not read, and a client that does, until the server has noticed. */
async function sleeperAndReader(half: ClientHalf): Promise<void> {
  const sleeper = await half.rawLoggedIn();
  sleeper.pause();
  const reader = await half.client({ name: "reader" });
  let read = 0;
  reader.on("news", (data) => half.tell("read", [read++, (data as { n: number }).n]));
  await reader.connect();
  const action = await half.recordReceive<string>("action");
  sleeper.resume();
  if (action === "dropped") {
    for (;;) {
      const { type, payload } = await sleeper.frames.next();
      if (type === Type.MESSAGE && (payload as { data: { n: number } }).data.n < 0) break;
    }
    half.tell("caught up");
  } else {
    half.tell("over", await sleeper.over);
  }
}

interface SlowScene {
  readonly server: OpenServer;
  readonly report: SlowConsumer;
  readonly sleeper: Connection;
  readonly ends: Heard<CloseReason>;
}

/** Broadcasts until the server notices the client that does not read; each broadcast arrives at the one that does. */
async function untilNoticed(half: ServerHalf, slowConsumer: "drop" | "disconnect"): Promise<SlowScene> {
  const server = half.server({ slowConsumer, sendQueueSize: 8 });
  const reports = new Heard<{ report: SlowConsumer; id: string }>();
  server.onSlowConsumer(({ id }, report) => reports.add({ report, id }));
  const ends = new Heard<CloseReason>();
  server.onClientDisconnect((_connection, reason) => ends.add(reason));
  const arrivals = await half.open(server);
  const sleeper = await arrivals.next();
  await arrivals.next();
  for (let n = 0; reports.all.length === 0; n++) {
    assert.ok(n < MOST_BROADCASTS, "The server never noticed the client that does not read");
    server.broadcast("news", { n, filler: KIB_256 });
    assert.deepEqual(await half.recordReceive("read"), [n, n]);
  }
  const { report, id } = await reports.next();
  assert.equal(id, sleeper.id);
  assert.equal(report.queuedMessages, 8);
  assert.ok(report.bufferedBytes >= 8 * KIB_256.length);
  return { server, report, sleeper, ends };
}

/** Broadcasts: who gets them, and what a client that does not read costs. */
export const broadcast: readonly Scenario[] = [
  {
    title: "a broadcast reaches every client, or those that include, exclude and where name, and returns how many",
    async server(half) {
      const server = half.server();
      const ids = await crowd(half, server);
      const [first, second] = ids as [string, string];
      assert.equal(server.broadcast("news", "all"), 3);
      assert.equal(server.broadcast("news", "not 1", { exclude: second }), 2);
      assert.equal(server.broadcast("news", "only 0, 1", { include: new Set([first, second, "unknown"]) }), 2);
      assert.equal(server.broadcast("news", "where 2", { where: ({ info }) => info.name === "2" }), 1);
      assert.equal(
        server.broadcast("news", "only 1", { include: ids, exclude: [first], where: ({ id }) => id === second }),
        1,
      );
      assert.equal(server.broadcast("news", "none", { include: [] }), 0);
      assert.equal(server.broadcast("last"), 3);
      assert.deepEqual(await half.recordReceive("heard"), [
        "0: all",
        "0: not 1",
        "0: only 0, 1",
        "1: all",
        "1: only 0, 1",
        "1: only 1",
        "2: all",
        "2: not 1",
        "2: where 2",
      ]);
    },
    client: listeners,
  },
  {
    title: "what cannot be broadcast throws, and nobody gets any of it",
    async server(half) {
      const server = half.server({ maxMessageBytes: 1024 });
      await crowd(half, server);
      assert.equal(thrownBy(() => server.broadcast("news", { at: () => 1 })).code, ErrorCode.UNSERIALIZABLE);
      assert.equal(thrownBy(() => server.broadcast("news", KIB_256)).code, ErrorCode.MESSAGE_TOO_LARGE);
      server.broadcast("last");
      assert.deepEqual(await half.recordReceive("heard"), []);
    },
    client: listeners,
  },
  {
    title: "a broadcast does not reach who has not logged in, and reaches the others who stay when one leaves",
    async server(half) {
      const server = half.server();
      const left = new Heard<unknown>();
      server.onClientDisconnect(left.add);
      const arrivals = await half.open(server);
      await arrivals.count(2);
      await half.until(() => server.stats.accepted === 3);
      assert.equal(server.broadcast("news", 1), 2);
      half.tell("leave");
      await left.next();
      assert.equal(server.broadcast("news", 2), 1);
      await half.recordReceive("done");
    },
    async client(half) {
      const stranger = await half.raw();
      const heard = new Heard<unknown>();
      const stays = await half.client();
      stays.on("news", heard.add);
      await stays.connect();
      const leaves = await half.join();
      await half.recordReceive("leave");
      await leaves.disconnect();
      assert.deepEqual(await heard.count(2), [1, 2]);
      assert.deepEqual(stranger.frames.all, []);
      half.tell("done");
    },
  },
  {
    title: "a hundred clients each recordReceive a hundred broadcasts in their order",
    async server(half) {
      const server = half.server();
      await (await half.open(server)).count(100);
      for (let n = 0; n < 100; n++) assert.equal(server.broadcast("news", n), 100);
      await half.recordReceive("done");
    },
    async client(half) {
      const expected = Array.from({ length: 100 }, (_, n) => n);
      const heards = expected.map(() => new Heard<unknown>());
      const clients = await Promise.all(
        heards.map(async (heard) => {
          const client = await half.client();
          client.on("news", heard.add);
          return client;
        }),
      );
      await Promise.all(clients.map((client) => client.connect()));
      for (const heard of heards) assert.deepEqual(await heard.count(100), expected);
      half.tell("done");
    },
  },
  {
    title: "drop: a client that does not read misses broadcasts and costs the others nothing, and a hook tells",
    async server(half) {
      const { server, report, sleeper, ends } = await untilNoticed(half, "drop");
      assert.equal(report.action, "dropped");
      assert.equal(sleeper.stats.dropped, 1);
      assert.deepEqual(ends.all, []);
      half.tell("action", report.action);
      await sleeper.drained();
      assert.equal(server.broadcast("news", { n: -1 }), 2);
      await half.recordReceive("caught up");
    },
    client: sleeperAndReader,
  },
  {
    title: "disconnect: a client that does not read is cut off and costs the others nothing, and a hook tells",
    async server(half) {
      const { server, report, ends } = await untilNoticed(half, "disconnect");
      assert.equal(report.action, "disconnected");
      const { code, byPeer } = await ends.next();
      assert.deepEqual([code, byPeer], [ErrorCode.SLOW_CONSUMER, false]);
      assert.equal(server.connectionCount, 1);
      half.tell("action", report.action);
      const how = await half.recordReceive("over");
      if (half.subject.capabilities.destroyResets) assert.equal(how, "ECONNRESET");
    },
    client: sleeperAndReader,
  },
];
