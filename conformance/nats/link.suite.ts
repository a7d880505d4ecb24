import { setTimeout as sleep } from "node:timers/promises";
import { ErrorCode } from "@netconduit/core";
import { expect, test } from "vitest";
import type { NatsInstallation } from "../../scripts/lib/nats-server.ts";
import { describeScenes, room } from "./scene.ts";

/** Guarantees of a link over NATS while NATS works. */
export function describeNatsLink(nats: NatsInstallation): void {
  describeScenes("a link over NATS", nats, (scene) => {
    test("messages reach all other subscribed nodes in order, and never the sender", async () => {
      const { url } = await scene().server();
      const [a, b, c] = await Promise.all(["a", "b", "c"].map((id) => scene().node(id, { servers: url })));
      const [own, heard] = [await a!.listen(room), await b!.listen(room)];
      const others = await c!.listen({ kind: "topic", name: "room:8" });
      for (let index = 0; index < 100; index++) expect(a!.send(room, `${index}`)).toBe("sent");
      a!.send({ kind: "topic", name: "room:8" }, "end");
      expect(await heard.count(100)).toEqual(Array.from({ length: 100 }, (_, index) => `${index}`));
      expect(await others.next()).toBe("end");
      expect(own.all).toEqual([]);
      expect(a!.link.stats).toMatchObject({ sentMessages: 101 });
      expect(b!.link.stats).toMatchObject({ receivedMessages: 100, receivedBytes: 190 });
    });

    test("order is kept across all addresses", async () => {
      const { url } = await scene().server();
      const [a, b] = [await scene().node("a", { servers: url }), await scene().node("b", { servers: url })];
      const order: string[] = [];
      const subscriptions = ["one", "two"].map((name) =>
        b.link.subscribe({ kind: "topic", name }, (payload) => order.push(new TextDecoder().decode(payload))),
      );
      for (const { ready } of subscriptions) await ready;
      const end = await b.listen({ kind: "node", name: "b" });
      for (let index = 0; index < 50; index++) {
        a.send({ kind: "topic", name: index % 2 === 0 ? "one" : "two" }, `${index}`);
      }
      a.send({ kind: "node", name: "b" }, "end");
      await end.next();
      expect(order).toEqual(Array.from({ length: 50 }, (_, index) => `${index}`));
    });

    test("clusters with different names on one NATS server don't receive each other's messages", async () => {
      const { url } = await scene().server();
      const [a, b] = [
        await scene().node("a", { servers: url }),
        await scene().node("b", { servers: url, name: "other" }),
      ];
      const c = await scene().node("c", { servers: url });
      const [foreign, heard] = [await b.listen(room), await c.listen(room)];
      a.send(room, "hello");
      await heard.next();
      await b.listen({ kind: "node", name: "b" });
      expect(foreign.all).toEqual([]);
    });

    test("a message larger than NATS's limit arrives whole and in order", async () => {
      const { url } = await scene().server({ config: "max_payload: 8KB" });
      const [a, b] = [await scene().node("a", { servers: url }), await scene().node("b", { servers: url })];
      const heard = await b.listen(room);
      const large = "x".repeat(100_000);
      for (const text of ["before", large, "after"]) expect(a.send(room, text)).toBe("sent");
      expect(await heard.count(3)).toEqual(["before", large, "after"]);
    });

    test("a message over maxPayloadBytes isn't sent", async () => {
      const { url } = await scene().server();
      const a = await scene().node("a", { servers: url, maxPayloadBytes: 1000 });
      expect(a.link.maxPayloadBytes).toBe(1000);
      expect(a.send(room, "x".repeat(1001))).toBe("too-large");
      expect(a.link.stats.sentMessages).toBe(0);
    });

    test("after unsubscribe nothing arrives, and NATS has no subscription left", async () => {
      const nats = await scene().server();
      const [a, b] = [await scene().node("a", { servers: nats.url }), await scene().node("b", { servers: nats.url })];
      const heard = await b.listen(room);
      const end = await b.listen({ kind: "node", name: "b" });
      heard.subscription.unsubscribe();
      await b.listen({ kind: "node", name: "later" });
      a.send(room, "too late");
      a.send({ kind: "node", name: "b" }, "end");
      await end.next();
      expect(heard.all).toEqual([]);
      const { subscriptions_list: subjects } = await nats.monitor<{ subscriptions_list: string[] }>("subsz?subs=1");
      expect(JSON.stringify(subjects)).not.toContain("room=3A7");
    });

    test("a node has one connection to NATS with its name, however many addresses it subscribes to", async () => {
      const nats = await scene().server();
      const a = await scene().node("a", { servers: nats.url });
      for (let index = 0; index < 20; index++) await a.listen({ kind: "topic", name: `topic ${index}` });
      const log = await a.log("durable");
      log.read();
      const { connections } = await nats.monitor<{ connections: { name: string }[] }>("connz");
      expect(connections.map(({ name }) => name)).toEqual(["netconduit fleet a"]);
    });

    test("logs have one order for all nodes, the appending node included, with offsets from 1 without gaps", async () => {
      const { url } = await scene().server();
      const [a, b] = [await scene().node("a", { servers: url }), await scene().node("b", { servers: url })];
      const [one, other] = [await a.log("chat"), await b.log("chat")];
      one.read();
      other.read();
      for (let index = 0; index < 20; index++) await (index % 2 === 0 ? one : other).append(`m${index}`);
      const expected = Array.from({ length: 20 }, (_, index) => `${index + 1} m${index}`);
      for (const { events } of [one, other]) {
        // The number of entries at the start depends on timing.
        const [start, ...entries] = await events.count(21);
        expect(start).toMatch(/^after 0 of \d+$/);
        expect(entries).toEqual(expected);
      }
    });

    test("appending the same id twice stores it once and returns its place", async () => {
      const { url } = await scene().server();
      const log = await (await scene().node("a", { servers: url })).log("chat");
      const first = await log.append("hello", "id-1");
      expect(await log.append("hello", "id-1")).toEqual(first);
      expect((await log.append("again", "id-2")).offset).toBe(2);
    });

    test("a reader starts with the requested number of newest messages and learns the log's newest offset", async () => {
      const { url } = await scene().server();
      const log = await (await scene().node("a", { servers: url })).log("chat");
      for (let index = 1; index <= 10; index++) await log.append(`m${index}`);
      log.read(3);
      expect(await log.events.count(4)).toEqual(["after 7 of 10", "8 m8", "9 m9", "10 m10"]);
    });

    test("a log keeps messages within its limits, and a reader starts after the removed ones", async () => {
      const { url } = await scene().server();
      const log = await (await scene().node("a", { servers: url })).log("chat", { messages: 4 });
      for (let index = 1; index <= 10; index++) await log.append(`m${index}`);
      log.read();
      expect(await log.events.count(5)).toEqual(["after 6 of 10", "7 m7", "8 m8", "9 m9", "10 m10"]);
    });

    test("changed limits apply to an existing log", async () => {
      const { url } = await scene().server();
      const a = await scene().node("a", { servers: url });
      const old = await a.log("chat", { messages: 100 });
      for (let index = 1; index <= 10; index++) await old.append(`m${index}`);
      const log = await a.log("chat", { messages: 2 });
      log.read();
      expect(await log.events.count(3)).toEqual(["after 8 of 10", "9 m9", "10 m10"]);
    });

    test("an append over NATS's limit is rejected with both sizes", async () => {
      const { url } = await scene().server({ config: "max_payload: 8KB" });
      const log = await (await scene().node("a", { servers: url })).log("chat");
      await expect(log.append("x".repeat(8000))).rejects.toMatchObject({
        code: ErrorCode.MESSAGE_TOO_LARGE,
        message: "Cannot append to the log of topic chat: 8000 bytes exceed 7680; raise NATS's max_payload",
      });
    });

    test("without JetStream, messages are delivered, and opening a log reports what is missing", async () => {
      const { url } = await scene().server({ hasJetStream: false });
      const [a, b] = [await scene().node("a", { servers: url }), await scene().node("b", { servers: url })];
      const heard = await b.listen(room);
      a.send(room, "hello");
      expect(await heard.next()).toBe("hello");
      await expect(a.log("chat")).rejects.toMatchObject({
        code: ErrorCode.CLUSTER_UNAVAILABLE,
        message: expect.stringContaining("is JetStream enabled"),
      });
    });

    test("a record is written only if its revision is still the one that was read", async () => {
      const { url } = await scene().server();
      const [a, b] = [await scene().node("a", { servers: url }), await scene().node("b", { servers: url })];
      const [one, other] = [
        await a.link.records!.open("sessions", 60_000),
        await b.link.records!.open("sessions", 60_000),
      ];
      expect(await one.get("k")).toBeNull();
      const first = await one.put("k", new Uint8Array([1]), 0);
      expect(await other.put("k", new Uint8Array([2]), 0)).toBeNull();
      const read = await other.get("k");
      expect(read).toEqual({ value: new Uint8Array([1]), revision: first });
      const second = await other.put("k", new Uint8Array([3]), first);
      expect(second).toBeGreaterThan(first!);
      expect(await one.put("k", new Uint8Array([4]), first)).toBeNull();
      await one.delete("k");
      expect(await other.get("k")).toBeNull();
      expect(await other.put("k", new Uint8Array([5]), 0)).toBeGreaterThan(second!);
    });

    test("a record over NATS's limit is rejected with both sizes, however it is written", async () => {
      const { url } = await scene().server({ config: "max_payload: 8KB" });
      const set = await (await scene().node("a", { servers: url })).link.records!.open("sessions", 60_000);
      const revision = await set.put("k", new Uint8Array(7000), 0);
      for (const written of [null, 0, revision]) {
        await expect(set.put(written === 0 ? "new" : "k", new Uint8Array(9000), written)).rejects.toMatchObject({
          code: ErrorCode.MESSAGE_TOO_LARGE,
          message: "Cannot write records 'sessions' of the cluster: 9000 bytes exceed 7680; raise NATS's max_payload",
        });
      }
    });

    test("a record that isn't refreshed expires", async () => {
      const { url } = await scene().server();
      const set = await (await scene().node("a", { servers: url })).link.records!.open("sessions", 1000);
      await set.put("k", new Uint8Array([1]), null);
      while ((await set.get("k")) !== null) await sleep(50);
      expect(await set.put("k", new Uint8Array([2]), 0)).toBeGreaterThan(0);
    });

    test("close sends pending messages and leaves no timer", async () => {
      const { url } = await scene().server();
      const [a, b] = [await scene().node("a", { servers: url }), await scene().node("b", { servers: url })];
      const heard = await b.listen(room);
      for (let index = 0; index < 1000; index++) a.send(room, `${index}`);
      await a.link.close();
      expect(await heard.count(1000)).toHaveLength(1000);
      expect(a.link.state).toBe("disconnected");
      expect(a.timers).toBe(0);
      expect(a.send(room, "late")).toBe("disconnected");
    });
  });
}
