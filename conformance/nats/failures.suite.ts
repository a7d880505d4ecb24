import { setTimeout as sleep } from "node:timers/promises";
import { ErrorCode } from "@netconduit/core";
import { expect, test } from "vitest";
import { freePort } from "../../scripts/lib/free-port.ts";
import type { NatsInstallation } from "../../scripts/lib/nats-server.ts";
import { rawRequest } from "./raw-request.ts";
import { describeScenes, room, type TestLog, type TestNode } from "./scene.ts";

/** Sends until a message arrives. The first messages after a reconnect may be sent before the other side has resubscribed. */
async function sendUntilHeard(from: TestNode, heard: { readonly all: readonly string[] }): Promise<void> {
  const before = heard.all.length;
  while (heard.all.length === before) {
    from.send(room, "again");
    await sleep(20);
  }
}

/** Appends with the same id until it is stored. */
export async function appendForSure(log: TestLog, id: string): Promise<number> {
  return (await untilAvailable(() => log.append(id))).offset;
}

/** Repeats an operation as long as it fails with CLUSTER_UNAVAILABLE. Elections of JetStream's groups take seconds. */
async function untilAvailable<T>(operation: () => Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await operation();
    } catch (error) {
      if ((error as { code?: number }).code !== ErrorCode.CLUSTER_UNAVAILABLE) throw error;
      await sleep(20);
    }
  }
}

/** A link over NATS while NATS is unavailable, slow, or has lost its data. */
export function describeNatsFailures(nats: NatsInstallation): void {
  describeScenes("failures of NATS", nats, (scene) => {
    test("when NATS is killed and restarted, a link rejects messages until it reconnects, and reports the reason", async () => {
      const nats = await scene().server();
      const [a, b] = [await scene().node("a", { servers: nats.url }), await scene().node("b", { servers: nats.url })];
      const heard = await b.listen(room);
      await nats.kill();
      expect(await a.until("reconnecting")).toMatchObject({ code: ErrorCode.CONNECTION_CLOSED });
      expect(a.link.state).toBe("reconnecting");
      expect(a.send(room, "lost")).toBe("disconnected");
      await b.until("reconnecting");
      await nats.start();
      await Promise.all([a.until("connected"), b.until("connected")]);
      expect(a.send(room, "back")).toBe("sent");
      expect(await heard.next()).toBe("back");
    });

    test("every message that NATS hadn't received when it was killed is reported as lost", async () => {
      const nats = await scene().server();
      const a = await scene().node("a", { servers: nats.url });
      await nats.pause();
      for (let index = 0; index < 100; index++) expect(a.send(room, `${index}`)).toBe("sent");
      await nats.kill();
      await a.until("reconnecting");
      expect(a.losses.all).toEqual([
        { direction: "sent", count: 100 },
        { direction: "received", count: 0 },
      ]);
    });

    test("a NATS server that stalls briefly loses nothing", async () => {
      const nats = await scene().server();
      const [a, b] = [
        await scene().node("a", { servers: nats.url, pingIntervalMs: 60_000 }),
        await scene().node("b", { servers: nats.url, pingIntervalMs: 60_000 }),
      ];
      const heard = await b.listen(room);
      await nats.pause();
      for (let index = 0; index < 100; index++) a.send(room, `${index}`);
      nats.resume();
      expect(await heard.count(100)).toHaveLength(100);
      expect(a.losses.all).toEqual([]);
    });

    test("at most maxPendingBytes are buffered for a NATS server that doesn't read; then publishing is rejected", async () => {
      const nats = await scene().server();
      const options = { servers: nats.url, maxPendingBytes: 1_000_000, pingIntervalMs: 60_000 };
      const [a, b] = [await scene().node("a", options), await scene().node("b", options)];
      const heard = await b.listen(room);
      await nats.pause();
      const text = "x".repeat(100_000);
      const results = Array.from({ length: 12 }, () => a.send(room, text));
      expect(results).toEqual([...Array.from({ length: 10 }, () => "sent"), "full", "full"]);
      nats.resume();
      await heard.count(10);
      while (a.send(room, "room again") !== "sent") await sleep(5);
      await heard.count(11);
      expect(a.losses.all).toEqual([]);
    });

    test("at most maxPendingBytes of appends wait for a NATS server that doesn't store; then appending is rejected immediately", async () => {
      const nats = await scene().server();
      const a = await scene().node("a", { servers: nats.url, maxPendingBytes: 1_000_000, pingIntervalMs: 60_000 });
      const [chat, news] = [await a.log("chat"), await a.log("news")];
      await nats.pause();
      const text = "x".repeat(100_000);
      const appends = Array.from({ length: 12 }, (_, index) =>
        (index % 2 === 0 ? chat : news).append(text, `${index}`),
      );
      const refusals = await Promise.allSettled(appends.slice(10));
      nats.resume();
      for (const refusal of refusals) {
        expect(refusal).toMatchObject({
          reason: {
            code: ErrorCode.CLUSTER_UNAVAILABLE,
            message: expect.stringContaining("1000000 bytes wait to be stored, of at most 1000000 (maxPendingBytes)"),
          },
        });
      }
      const places = await Promise.all(appends.slice(0, 10));
      expect(places.map(({ offset }) => offset)).toEqual([1, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
      expect((await chat.append(text, "later")).offset).toBe(6);
    });

    test("a node that NATS disconnects as a slow consumer reconnects and reports that it may have missed messages", async () => {
      const nats = await scene().server({ config: "max_payload: 64KB\nmax_pending: 256KB" });
      const relay = await scene().relay(nats);
      const a = await scene().node("a", { servers: nats.url });
      const slow = { servers: `nats://127.0.0.1:${relay.address.port}`, pingIntervalMs: 60_000 };
      const b = await scene().node("b", slow);
      const heard = await b.listen(room);
      const text = "x".repeat(50_000);
      relay.silence();
      while ((await nats.monitor<{ slow_consumers: number }>("varz")).slow_consumers === 0) {
        for (let index = 0; index < 20; index++) a.send(room, text);
      }
      relay.speak();
      relay.deliverHeld();
      await b.until("reconnecting");
      await b.until("connected");
      expect(b.losses.all).toEqual([{ direction: "received", count: 0 }]);
      await sendUntilHeard(a, heard);
      expect(a.losses.all).toEqual([]);
    });

    test("a stalled NATS server is disconnected, and used again when it resumes", async () => {
      const nats = await scene().server();
      const a = await scene().node("a", { servers: nats.url, connectTimeoutMs: 500, pingIntervalMs: 300 });
      await nats.pause();
      await a.until("reconnecting");
      nats.resume();
      await a.until("connected");
      expect(a.send(room, "back")).toBe("sent");
    });

    test("a stalled NATS server is disconnected even with data pending, which is reported as lost", async () => {
      const nats = await scene().server();
      const a = await scene().node("a", { servers: nats.url, connectTimeoutMs: 500, pingIntervalMs: 300 });
      await nats.pause();
      // More than the system's buffers take.
      const text = "x".repeat(500_000);
      for (let index = 0; index < 60; index++) expect(a.send(room, text)).toBe("sent");
      expect(await a.until("reconnecting")).toMatchObject({ code: ErrorCode.HEARTBEAT_TIMEOUT });
      expect(a.lost("sent")).toBe(60);
      nats.resume();
      await a.until("connected");
      expect(a.send(room, "back")).toBe("sent");
    });

    test("a node that starts before NATS joins with its subscriptions when NATS starts", async () => {
      const port = await freePort();
      const servers = `nats://127.0.0.1:${port}`;
      const [a, b] = [await scene().node("a", { servers }), await scene().node("b", { servers })];
      expect(a.link.state).toBe("connecting");
      expect(a.states.all[0]).toMatchObject({ state: "connecting", code: ErrorCode.CONNECTION_REFUSED });
      expect(a.send(room, "early")).toBe("disconnected");
      const heard = await b.listen(room);
      await scene().server({ port });
      await Promise.all([a.until("connected"), b.until("connected")]);
      expect(a.send(room, "hello")).toBe("sent");
      expect(await heard.next()).toBe("hello");
    });

    test("closing a link while NATS is down finishes immediately and leaves no timer", async () => {
      const nats = await scene().server();
      const a = await scene().node("a", { servers: nats.url });
      const b = await scene().node("b", { servers: `nats://127.0.0.1:${await freePort()}` });
      await nats.kill();
      await a.until("reconnecting");
      await Promise.all([a.link.close(), b.link.close()]);
      expect([a.link.state, b.link.state]).toEqual(["disconnected", "disconnected"]);
      expect([a.timers, b.timers]).toEqual([0, 0]);
    });

    test("a log continues without gaps after NATS restarts with its data", async () => {
      const nats = await scene().server();
      const a = await scene().node("a", { servers: nats.url });
      const log = await a.log("chat");
      log.read();
      for (const text of ["m1", "m2"]) await log.append(text);
      await log.events.count(3);
      await nats.kill();
      await expect(log.append("m3")).rejects.toMatchObject({ code: ErrorCode.CLUSTER_UNAVAILABLE });
      await nats.start();
      expect(await appendForSure(log, "m3")).toBe(3);
      expect((await log.events.count(4)).slice(1)).toEqual(["1 m1", "2 m2", "3 m3"]);
    });

    test("a log restarts with another epoch when NATS restarts without its data", async () => {
      const nats = await scene().server();
      const a = await scene().node("a", { servers: nats.url });
      const log = await a.log("chat");
      log.read();
      const before = await log.append("m1");
      await log.events.count(2);
      await nats.kill();
      nats.removeData();
      await nats.start();
      await a.until("reconnecting");
      await a.until("connected");
      expect(await appendForSure(log, "m2")).toBe(1);
      const events = await log.events.count(4);
      expect(events.at(-1)).toBe("1 m2");
      expect(events[2]).toMatch(/^after 0 of [01]$/);
      expect(log.places[1]?.epoch).not.toBe(before.epoch);
    });

    test("records are created again when NATS restarts without its data", async () => {
      const nats = await scene().server();
      const a = await scene().node("a", { servers: nats.url });
      const set = await a.link.records!.open("sessions", 60_000);
      await set.put("k", new Uint8Array([1]), null);
      await nats.kill();
      await expect(set.get("k")).rejects.toMatchObject({ code: ErrorCode.CLUSTER_UNAVAILABLE });
      nats.removeData();
      await nats.start();
      await a.until("reconnecting");
      await a.until("connected");
      expect(await set.get("k")).toBeNull();
      expect(await set.put("k", new Uint8Array([2]), 0)).toBeGreaterThan(0);
    });

    test("a log keeps every acknowledged message once and at its offset, however often NATS is killed", async () => {
      const nats = await scene().server();
      const nodes = await Promise.all(["a", "b", "c"].map((id) => scene().node(id, { servers: nats.url })));
      const logs = await Promise.all(nodes.map((node) => node.log("chat")));
      for (const log of logs) log.read(10_000);
      const acknowledged = new Map<string, number>();
      let isOver = false;
      const writers = logs.map(async (log, writer) => {
        for (let index = 0; !isOver; index++) {
          const id = `${writer}-${index}`;
          acknowledged.set(id, await appendForSure(log, id));
        }
      });
      for (let kill = 1; kill <= 4; kill++) {
        const enough = acknowledged.size + 50;
        while (acknowledged.size < enough) await sleep(5);
        await nats.kill();
        await nats.start();
      }
      isOver = true;
      await Promise.all(writers);

      const newest = Math.max(...acknowledged.values());
      for (const { events, places } of logs) {
        const heard = (await events.count(newest + 1)).slice(1).map((text) => text.split(" "));
        expect(places).toHaveLength(1);
        expect(heard.map(([offset]) => Number(offset))).toEqual(heard.map((_, index) => index + 1));
        const places2 = new Map(heard.map(([offset, id]) => [id!, Number(offset)]));
        expect(places2.size).toBe(heard.length);
        for (const [id, offset] of acknowledged) expect(places2.get(id)).toBe(offset);
      }
    });

    test("when one of three NATS servers is killed, its nodes move to another, and the log neither loses nor duplicates messages", async () => {
      const servers = await scene().cluster(3);
      const urls = servers.map(({ url }) => url);
      // Each node first connects to a different server.
      const nodes = await Promise.all(
        urls.map((url, index) => scene().node(`n${index}`, { servers: url, replicas: 3, connectTimeoutMs: 2000 })),
      );
      const logs: TestLog[] = [];
      for (const node of nodes) logs.push(await untilAvailable(() => node.log("chat")));
      for (const log of logs) log.read(10_000);
      const heard = await nodes[1]!.listen(room);
      for (let index = 0; index < 20; index++) await appendForSure(logs[index % 3]!, `before-${index}`);
      await servers[0]!.kill();
      await nodes[0]!.until("reconnecting");
      await nodes[0]!.until("connected");
      for (let index = 0; index < 20; index++) await appendForSure(logs[index % 3]!, `after-${index}`);
      await sendUntilHeard(nodes[0]!, heard);
      for (const { events, places } of logs) {
        const entries = (await events.count(41)).slice(1).map((text) => text.split(" ")[1]);
        expect(places).toHaveLength(1);
        expect(new Set(entries).size).toBe(40);
      }
    });

    test("when the leader of the records among three NATS servers is killed, the others have them with replicas: 3", async () => {
      const servers = await scene().cluster(3);
      const options = { servers: servers.map(({ url }) => url), replicas: 3, connectTimeoutMs: 2000 } as const;
      const { records } = (await scene().node("a", options)).link;
      const set = await untilAvailable(() => records!.open("sessions", 60_000));
      await untilAvailable(() => set.put("k", new Uint8Array([1]), null));
      const subject = "$JS.API.STREAM.INFO.KV_netconduit-fleet-sessions";
      const { config, cluster } = JSON.parse(await rawRequest(servers[0]!.port, subject));
      expect(config.num_replicas).toBe(3);
      // Server names contain their numbers.
      await servers[Number(cluster.leader.split("-")[1])]!.kill();
      expect(await untilAvailable(() => set.get("k"))).toMatchObject({ value: new Uint8Array([1]) });
    });
  });
}
