import { createRequire } from "node:module";
import { ErrorCode } from "@netconduit/core";
import { expect, test } from "vitest";
import type { NatsInstallation } from "../../scripts/lib/nats-server.ts";
import { Relay } from "../support/relay.ts";
import { appendForSure } from "./failures.suite.ts";
import { rawRequest } from "./raw-request.ts";
import { describeScenes, room } from "./scene.ts";

/** A part of a nats.js connection. */
interface Connection {
  request(subject: string, ...rest: unknown[]): Promise<unknown>;
  status(): AsyncIterable<unknown>;
  close(): Promise<void>;
}
/** The driver's transport. */
const { connect } = createRequire(new URL("../../packages/nats/package.json", import.meta.url))(
  "@nats-io/transport-node",
) as { readonly connect: (options: object) => Promise<Connection> };

const SEED = "SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY";

/** Returns a function that waits until it was called `count` times. */
function meeting(count: number): () => Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let called = 0;
  return () => {
    called += 1;
    if (called >= count) resolve();
    return promise;
  };
}

/** Faults that a link must survive. */
export function describeNatsDamage(nats: NatsInstallation): void {
  describeScenes("a link over NATS recovers", nats, (scene) => {
    test("when the credentials function throws during a reconnect: it reports the error and calls the function again", async () => {
      const nats = await scene().server();
      let asked: (() => void) | null = null;
      const nkeySeed = (): string => {
        if (asked === null) return SEED;
        asked();
        throw new Error("no file for a moment");
      };
      const a = await scene().node("a", { servers: nats.url, nkeySeed });
      const b = await scene().node("b", { servers: nats.url });
      const heard = await a.listen(room);
      const [set, log] = [await a.link.records!.open("sessions", 60_000), await a.log("chat")];
      await set.put("k", new Uint8Array([1]), null);
      log.read();
      await log.append("m1");
      const failed = new Promise<void>((resolve) => {
        asked = resolve;
      });
      await nats.kill();
      await nats.start();
      await failed;
      asked = null;
      await Promise.all([a.until("connected"), b.until("connected")]);
      expect(a.states.all).toContainEqual({
        state: "reconnecting",
        code: ErrorCode.AUTH_FAILED,
        message: "Cannot log in to NATS: the option nkeySeed gives no valid login: no file for a moment",
      });
      b.send(room, "hello");
      expect(await heard.next()).toBe("hello");
      expect(await set.get("k")).toMatchObject({ value: new Uint8Array([1]) });
      await log.append("m2");
      expect((await log.events.count(3)).slice(1)).toEqual(["1 m1", "2 m2"]);
    });

    test("when nats.js closes a connection right after reconnecting: it opens another one", async () => {
      const nats = await scene().server();
      const { promise: begun, resolve: begin } = Promise.withResolvers<void>();
      let count = 0;
      const connectBriefly = async (options: object): Promise<Connection> => {
        const connection = await connect(options);
        count += 1;
        if (count > 1) return connection;
        connection.status = async function* () {
          await begun;
          await connection.close();
          yield { type: "reconnect" };
        };
        return connection;
      };
      const a = await scene().node("a", { servers: nats.url, connect: connectBriefly });
      const b = await scene().node("b", { servers: nats.url });
      const heard = await a.listen(room);
      begin();
      await a.until("reconnecting");
      await a.until("connected");
      b.send(room, "hello");
      expect(await heard.next()).toBe("hello");
    });

    test("when NATS temporarily denies a subject: it resubscribes on the next connection that allows it", async () => {
      const allowed =
        'authorization { default_permissions: { publish: ">", subscribe: ">" }, users: [ { user: "fleet", password: "p" } ] }';
      const forbidden = allowed.replace(
        'subscribe: ">"',
        'subscribe: { allow: ">", deny: "netconduit.fleet.topic.*" }',
      );
      const nats = await scene().server({ config: allowed });
      const login = { servers: nats.url, user: "fleet", pass: "p" };
      const [a, b] = [await scene().node("a", login), await scene().node("b", login)];
      const heard = await b.listen(room);
      const restart = async (config: string): Promise<void> => {
        await nats.kill();
        await Promise.all([a.until("reconnecting"), b.until("reconnecting")]);
        nats.configure(config);
        await nats.start();
        await Promise.all([a.until("connected"), b.until("connected")]);
      };
      await restart(forbidden);
      while (b.states.all.every(({ code }) => code !== ErrorCode.PERMISSION_DENIED)) await b.states.next();
      await restart(allowed);
      a.send(room, "hello");
      expect(await heard.next()).toBe("hello");
    });

    test("when NATS accepts no more subscriptions: it reports TOO_MANY_SUBSCRIPTIONS", async () => {
      const { url } = await scene().server({ config: "max_subscriptions: 10", hasJetStream: false });
      const a = await scene().node("a", { servers: url });
      for (let n = 0; n < 20; n += 1) void a.link.subscribe({ kind: "topic", name: `room:${n}` }, () => undefined);
      expect(await a.states.next()).toMatchObject({
        state: "connected",
        code: ErrorCode.TOO_MANY_SUBSCRIPTIONS,
        message: expect.stringContaining("takes no more subscriptions of this node"),
      });
    });

    test("when NATS restarts with older data: its log starts a new epoch, and readers get everything appended after that", async () => {
      const nats = await scene().server();
      const a = await scene().node("a", { servers: nats.url });
      const [reading, appending] = [await a.log("chat"), await a.log("chat")];
      reading.read();
      for (const text of ["m1", "m2"]) await appending.append(text);
      await nats.kill();
      nats.backUpData();
      await nats.start();
      for (const text of ["m3", "m4", "m5", "m6"]) await appendForSure(appending, text);
      await reading.events.count(7);
      await nats.kill();
      nats.restoreData();
      await nats.start();
      expect(await appendForSure(appending, "n3")).toBe(3);
      const place = await appending.append("n4");
      expect((await reading.events.count(12)).slice(8)).toEqual(["1 m1", "2 m2", "3 n3", "4 n4"]);
      expect(reading.places).toHaveLength(2);
      expect(reading.places[1]).toEqual({ epoch: place.epoch, offset: 0 });
      expect(reading.places[0]?.epoch).not.toBe(place.epoch);
    });

    test("when several nodes detect older data at the same time: they agree on the log's new epoch", async () => {
      const nats = await scene().server();
      const met = meeting(2);
      /** Ensures that each node has read the log's state before the first node records what it has detected. */
      const connectSlowly = async (options: object): Promise<Connection> => {
        const connection = await connect(options);
        const request = connection.request.bind(connection);
        connection.request = async (subject, ...rest) => {
          if (subject.startsWith("$JS.API.STREAM.UPDATE.")) await met();
          return request(subject, ...rest);
        };
        return connection;
      };
      const options = { servers: nats.url, connect: connectSlowly };
      const nodes = [await scene().node("a", options), await scene().node("b", options)];
      const logs = [await nodes[0]!.log("chat"), await nodes[1]!.log("chat")];
      for (const log of logs) log.read();
      await logs[0]!.append("m1");
      await nats.kill();
      nats.backUpData();
      await nats.start();
      for (const text of ["m2", "m3"]) await appendForSure(logs[0]!, text);
      for (const { events } of logs) await events.count(4);
      await nats.kill();
      nats.restoreData();
      await nats.start();
      await appendForSure(logs[0]!, "n2");
      const places = [await logs[0]!.append("n3"), await logs[1]!.append("n4")];
      for (const { events } of logs) while (!events.all.includes("4 n4")) await events.next();
      expect(new Set([...places, ...logs.map((log) => log.places.at(-1))].map((place) => place?.epoch)).size).toBe(1);
      for (const log of logs) {
        expect(log.places).toHaveLength(2);
        expect(log.events.all.slice(-4)).toEqual(["1 m1", "2 n2", "3 n3", "4 n4"]);
      }
    });

    test("when others append to older data before a reader reconnects: it detects the different messages and reads them", async () => {
      const nats = await scene().server();
      const relay = new Relay(nats.port);
      await relay.start();
      const a = await scene().node("a", { servers: `nats://127.0.0.1:${relay.address.port}` });
      const log = await a.log("chat");
      log.read();
      await log.append("m1");
      await nats.kill();
      nats.backUpData();
      await nats.start();
      for (const text of ["m2", "m3"]) await appendForSure(log, text);
      await log.events.count(4);
      await relay.kill();
      await nats.kill();
      nats.restoreData();
      await nats.start();
      const other = await (await scene().node("b", { servers: nats.url })).log("chat");
      for (const text of ["n2", "n3", "n4"]) await other.append(text);
      await relay.start();
      const events = await log.events.count(9);
      await relay.kill();
      expect(events.slice(4)).toEqual(["after 0 of 4", "1 m1", "2 n2", "3 n3", "4 n4"]);
      expect(log.places[1]?.epoch).not.toBe(log.places[0]?.epoch);
    });

    test("when a log's stream is deleted: the next append creates it again and returns the epoch that readers get", async () => {
      const nats = await scene().server();
      const a = await scene().node("a", { servers: nats.url });
      const [reading, appending] = [await a.log("chat"), await a.log("chat")];
      reading.read();
      const before = await appending.append("m1");
      await reading.events.count(2);
      expect(await rawRequest(nats.port, "$JS.API.STREAM.DELETE.netconduit-fleet-log-chat")).toContain("success");
      const place = await appending.append("m2");
      expect(place.offset).toBe(1);
      expect(place.epoch).not.toBe(before.epoch);
      expect((await reading.events.count(4))[3]).toBe("1 m2");
      expect(reading.places[1]).toEqual({ epoch: place.epoch, offset: 0 });
    });

    test("when NATS is restored while no node runs: a log ends earlier in the same epoch, and its metadata can change that", async () => {
      const nats = await scene().server();
      const before = await scene().node("a", { servers: nats.url });
      const log = await before.log("chat");
      const first = await log.append("m1");
      await nats.kill();
      nats.backUpData();
      await nats.start();
      expect(await appendForSure(log, "m2")).toBe(2);
      await before.dispose();
      await nats.kill();
      nats.restoreData();
      await nats.start();
      const newestFor = async (nodeId: string) => {
        return (await (await scene().node(nodeId, { servers: nats.url })).log("chat")).newest();
      };
      expect(await newestFor("b")).toEqual(first);
      const stream = "netconduit-fleet-log-chat";
      const info = JSON.parse(await rawRequest(nats.port, `$JS.API.STREAM.INFO.${stream}`));
      const config = { ...info.config, metadata: { ...info.config.metadata, "netconduit-generation": "restored" } };
      await rawRequest(nats.port, `$JS.API.STREAM.UPDATE.${stream}`, JSON.stringify(config));
      const after = await newestFor("c");
      expect(after.offset).toBe(1);
      expect(after.epoch).not.toBe(first.epoch);
    });

    test("when a log's newest message was deleted: a reader is up to date with the previous message", async () => {
      const nats = await scene().server();
      const log = await (await scene().node("a", { servers: nats.url })).log("chat");
      for (const text of ["m1", "m2", "m3"]) await log.append(text);
      await rawRequest(nats.port, "$JS.API.STREAM.MSG.DELETE.netconduit-fleet-log-chat", '{"seq":3}');
      log.read();
      expect(await log.events.count(3)).toEqual(["after 0 of 2", "1 m1", "2 m2"]);
      await log.append("m4");
      expect((await log.events.count(5)).slice(3)).toEqual(["after 3 of 4", "4 m4"]);
    });

    test("when a receiver throws on a message: the message is reported as lost, and later messages are delivered", async () => {
      const { url } = await scene().server();
      const [a, b] = [await scene().node("a", { servers: url }), await scene().node("b", { servers: url })];
      const heard = await b.listen(room);
      const { ready } = b.link.subscribe({ kind: "all", name: "" }, () => {
        throw new Error("not for me");
      });
      await ready;
      a.send({ kind: "all", name: "" }, "bad");
      a.send(room, "good");
      expect(await heard.next()).toBe("good");
      expect(b.losses.all).toEqual([{ direction: "received", count: 1 }]);
      expect(b.states.all).toEqual([
        {
          state: "connected",
          code: ErrorCode.INTERNAL,
          message: "A message between nodes couldn't be handled: not for me",
        },
      ]);
    });

    test("when a log's reader throws on a message: the message is reported as lost, and later messages are delivered", async () => {
      const { url } = await scene().server();
      const b = await scene().node("b", { servers: url });
      const log = await b.log("chat");
      for (const text of ["m1", "m2"]) await log.append(text);
      const limits = { messages: 10, bytes: 10_000, ageMs: 600_000 };
      const { promise: second, resolve } = Promise.withResolvers<number>();
      (await b.link.logs!.open("chat", limits, 5000)).read(10, {
        starts: () => undefined,
        entry: (offset) => {
          if (offset === 1) throw new Error("not for me");
          resolve(offset);
        },
      });
      expect(await second).toBe(2);
      expect(b.losses.all).toEqual([{ direction: "received", count: 1 }]);
      expect(b.states.all.map(({ code }) => code)).toEqual([ErrorCode.INTERNAL]);
    });

    test("when a name is too long for NATS: it neither sends nor subscribes", async () => {
      const { url } = await scene().server();
      const [a, b] = [await scene().node("a", { servers: url }), await scene().node("b", { servers: url })];
      const heard = await b.listen(room);
      const long = { kind: "user", name: "x".repeat(6000) } as const;
      await b.listen(long);
      expect(a.send(long, "hello")).toBe("too-large");
      a.send(room, "next");
      expect(await heard.next()).toBe("next");
      expect([a.states.all, b.states.all]).toEqual([[], []]);
    });
  });
}
