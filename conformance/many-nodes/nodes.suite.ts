import { clusterStore, ErrorCode, RpcError, type ServerInit } from "@netconduit/core";
import { EventLog } from "@netconduit/core/testing";
import { describe, expect, test } from "vitest";
import { gate } from "../../packages/core/src/test-support/gate.ts";
import { PATIENT, Stage } from "../behaviour/stage.ts";
import { failureOf } from "../support/failures.ts";
import { Relay } from "../support/relay.ts";
import type { OpenClient, OpenServer, Subject } from "../support/subject.ts";
import { until } from "../support/turns.ts";
import { type ClusterSubject, lossy, type TestCluster, TIMES } from "./subject.ts";

const USERS = { ada: { password: "a", roles: ["admin"] }, bob: { password: "b" } };
const ADA = { username: "ada", password: "a" };
const RECONNECT = { delayMs: 50, maxDelayMs: 50 };
const BOB = { username: "bob", password: "b" };

/** Servers of one cluster and their clients. */
class NodesStage extends Stage {
  readonly cluster: TestCluster;

  constructor(subject: Subject, cluster: TestCluster) {
    super(subject);
    this.cluster = cluster;
    this.defer(() => cluster.close());
  }

  async node(nodeId: string, prepare: (server: OpenServer) => void, options: Partial<ServerInit> = {}) {
    const driver = this.cluster.driver({ nodeId, ...TIMES });
    const server = this.server({ cluster: driver, users: USERS, ...options });
    prepare(server);
    await server.start();
    return server;
  }

  /** Starts three nodes that have discovered each other. */
  async three(prepare: (server: OpenServer) => void = () => undefined): Promise<[OpenServer, OpenServer, OpenServer]> {
    const [a, b, c] = [await this.node("a", prepare), await this.node("b", prepare), await this.node("c", prepare)];
    for (const server of [a, b, c]) await until(() => server.cluster?.nodes.length === 3);
    return [a, b, c];
  }
}

/** Records messages that a client receives. */
function heard(client: OpenClient, type: string): EventLog<unknown> {
  const log = new EventLog<unknown>();
  client.on(type, (data) => {
    log.add(data);
  });
  return log;
}

async function itemsOf<T>(subscription: AsyncIterator<T>, count: number): Promise<T[]> {
  const items: T[] = [];
  while (items.length < count) items.push((await subscription.next()).value as T);
  return items;
}

/** Servers as nodes of a cluster with any engine. */
export function describeManyNodes(subject: Subject, { name, make, capabilities }: ClusterSubject): void {
  const staged = (body: (stage: NodesStage) => Promise<void>) => async (): Promise<void> => {
    const stage = new NodesStage(subject, await make());
    try {
      await body(stage);
    } finally {
      await stage.dispose();
    }
  };

  describe(`many nodes: ${name}`, PATIENT, () => {
    test(
      "Broadcasts reach the clients of all nodes in order, and filters apply on each node",
      staged(async (stage) => {
        const [a, b, c] = await stage.three();
        const [atA, atB, atC] = [
          heard(await stage.join(a, ADA), "news"),
          heard(await stage.join(b, ADA), "news"),
          heard(await stage.join(c, BOB), "news"),
        ];
        // The answers arrive after the nodes' subscriptions for users. A broadcast to a user before that would be
        // lost.
        expect(await a.count({ where: { user: "ada" } })).toMatchObject({ count: 2 });
        for (let n = 0; n < 20; n += 1) a.broadcast("news", n);
        a.broadcast("news", "admins", { where: { role: "admin" } });
        a.broadcast("news", "ada", { where: { user: "ada" } });
        a.broadcast("news", "end");
        const numbers = Array.from({ length: 20 }, (_, n) => n);
        expect(await atA.count(23)).toEqual([...numbers, "admins", "ada", "end"]);
        expect(await atB.count(23)).toEqual([...numbers, "admins", "ada", "end"]);
        expect(await atC.count(21)).toEqual([...numbers, "end"]);
      }),
    );

    test(
      "A message with ack to a connection or a user waits for its handlers on any node, and names the connections that failed",
      staged(async (stage) => {
        const [a, b, c] = await stage.three();
        const [atA, atB, atC] = [await stage.join(a, ADA), await stage.join(b, ADA), await stage.join(c, ADA)];
        const [toA, toB] = [heard(atA, "note"), heard(atB, "note")];
        const release = gate();
        const started = gate();
        let refuses = false;
        atC.on("note", async () => {
          started.open();
          await release.promise;
          if (refuses) throw new RpcError(900, "Not now");
        });
        const ids = [a, b, c].map((server) => server.connections[0]?.id ?? "");
        await a.send(ids[1] ?? "", "note", 1, { ack: true });
        expect(await toB.next()).toBe(1);
        let isOver = false;
        const sent = a.send({ user: "ada" }, "note", 2, { ack: true, meta: { by: "a" } }).then(() => {
          isOver = true;
        });
        expect([await toA.next(), await toB.next()]).toEqual([2, 2]);
        await started.promise;
        expect(isOver).toBe(false);
        release.open();
        await sent;
        refuses = true;
        expect(await failureOf(a.send(ids[2] ?? "", "note", 3, { ack: true }))).toMatchObject({ code: 900 });
        expect(await failureOf(a.send({ user: "ada" }, "note", 4, { ack: true }))).toMatchObject({
          code: ErrorCode.NOT_DELIVERED,
          message: `'note' was not acknowledged by 1 of 3 connections of the user 'ada': ${ids[2]}: Not now`,
          details: { failed: [{ id: ids[2], code: 900, message: "Not now" }], missing: [] },
        });
        expect([await toA.next(), await toB.next()]).toEqual([4, 4]);
        const gone = await failureOf(a.send(`${ids[1]}x`, "note", 5, { ack: true }));
        expect(gone.code).toBe(ErrorCode.NOT_DELIVERED);
        expect(await failureOf(a.send({ user: "bob" }, "note", 5, { ack: true }))).toMatchObject({
          code: ErrorCode.NOT_DELIVERED,
          message: "'note' was not sent: the user 'bob' has no connection",
          details: { failed: [], missing: [], started: false },
        });
      }),
    );

    test(
      "A message with ack to a user names the nodes that don't respond, and reaches the others",
      staged(async (stage) => {
        const [a, b] = await stage.three();
        const [atA] = [await stage.join(a, ADA), await stage.join(b, ADA)];
        const notes = heard(atA, "note");
        await stage.cluster.cut("b");
        const failure = await failureOf(a.send({ user: "ada" }, "note", 1, { ack: true }));
        expect(failure).toMatchObject({ code: ErrorCode.NOT_DELIVERED, details: { failed: [], missing: ["b"] } });
        expect(await notes.next()).toBe(1);
      }),
    );

    test(
      "A user and a connection can be sent to and called on any node",
      staged(async (stage) => {
        const [a, b] = await stage.three();
        const client = await stage.join(b, ADA);
        const notes = heard(client, "note");
        client.rpc("double", ({ n }) => 2 * Number(n));
        const id = b.connections[0]?.id ?? "";
        // The answer arrives after the node's subscription for this user. A message before that would be lost.
        expect(await a.count({ where: { user: "ada" } })).toMatchObject({ count: 1 });
        a.send({ user: "ada" }, "note", 1);
        expect(await notes.next()).toBe(1);
        a.send(id, "note", 2);
        expect(await notes.next()).toBe(2);
        expect(await a.peer(id).call("double", { n: 21 })).toBe(42);
        await a.peer(id).send("note", 3, { ack: true });
        expect(await notes.next()).toBe(3);
        expect((await failureOf(a.peer(id).call("missing", {}))).code).toBe(ErrorCode.METHOD_NOT_FOUND);
      }),
    );

    test(
      "Streams to and from a connection on another node keep back-pressure, errors and an early end",
      staged(async (stage) => {
        const [a, b] = await stage.three();
        const client = await stage.join(b);
        const ends = new EventLog<string>();
        let made = 0;
        client.stream("count", async function* ({ to }) {
          try {
            for (let n = 0; n < Number(to); n += 1) {
              made += 1;
              yield { n, text: "x".repeat(4096) };
            }
            throw new RpcError(2000, "that is all");
          } finally {
            ends.add("closed");
          }
        });
        client.stream({ name: "echo", input: true }, async function* (_params, { input }) {
          yield* input;
        });
        const peer = a.peer(b.connections[0]?.id ?? "");
        const numbers: number[] = [];
        const failure = (async () => {
          for await (const { n } of peer.stream<{ n: number }>("count", { to: 500 })) numbers.push(n);
        })();
        expect((await failureOf(failure)).code).toBe(2000);
        expect(numbers).toEqual(Array.from({ length: 500 }, (_, n) => n));
        expect(await ends.next()).toBe("closed");
        made = 0;
        for await (const { n } of peer.stream<{ n: number }>("count", { to: 1_000_000 })) if (n === 9) break;
        expect(await ends.next()).toBe("closed");
        expect(made).toBeLessThan(2000);
        const echoed: unknown[] = [];
        for await (const item of peer.stream("echo", {}, { input: numbers })) echoed.push(item);
        expect(echoed).toEqual(numbers);
      }),
    );

    test(
      "A stream to another node fails if an item is lost, and ends if that node is lost",
      staged(async (stage) => {
        const a = await stage.node("a", () => undefined);
        const { driver, loseNext } = lossy(stage.cluster.driver({ nodeId: "b", ...TIMES }));
        const b = await stage.node("b", () => undefined, { cluster: driver });
        await until(() => a.cluster?.nodes.length === 2);
        const client = await stage.join(b);
        const ends = new EventLog<string>();
        client.stream("wait", async function* (_params, { signal }) {
          const aborted = new Promise((resolve) => signal.addEventListener("abort", resolve));
          yield 1;
          await aborted;
          ends.add("aborted");
        });
        const peer = a.peer(b.connections[0]?.id ?? "");
        loseNext();
        expect((await failureOf(peer.stream("wait").next())).code).toBe(ErrorCode.NODE_UNAVAILABLE);
        expect(await ends.next()).toBe("aborted");
        const stream = peer.stream("wait");
        expect((await stream.next()).value).toBe(1);
        await stage.cluster.cut("b");
        expect((await failureOf(stream.next())).code).toBe(ErrorCode.NODE_UNAVAILABLE);
        expect(await ends.next()).toBe("aborted");
        await stage.cluster.heal("b");
      }),
    );

    test(
      "A call from another node is cancelled when its caller stops waiting, even if the cancellation is lost",
      staged(async (stage) => {
        const { driver, loseNext } = lossy(stage.cluster.driver({ nodeId: "a", ...TIMES }));
        const a = await stage.node("a", () => undefined, { cluster: driver });
        const b = await stage.node("b", () => undefined);
        await until(() => a.cluster?.nodes.length === 2);
        const client = await stage.join(b);
        const ends = new EventLog<string>();
        client.rpc("wait", ({ name }, { signal }) => {
          ends.add(`${name} started`);
          return new Promise((resolve) => {
            signal.addEventListener("abort", () => {
              ends.add(`${name} cancelled`);
              resolve(null);
            });
          });
        });
        const peer = a.peer(b.connections[0]?.id ?? "");
        const [first, second] = [new AbortController(), new AbortController()];
        const wanted = peer.call("wait", { name: "wanted" }, { timeoutMs: 0, signal: first.signal });
        const unwanted = peer.call("wait", { name: "unwanted" }, { timeoutMs: 0, signal: second.signal });
        expect((await ends.count(2)).toSorted()).toEqual(["unwanted started", "wanted started"]);
        loseNext();
        second.abort();
        expect((await failureOf(unwanted)).code).toBe(ErrorCode.CANCELLED);
        expect((await ends.count(3))[2]).toBe("unwanted cancelled");
        first.abort();
        expect((await failureOf(wanted)).code).toBe(ErrorCode.CANCELLED);
        expect((await ends.count(4))[3]).toBe("wanted cancelled");
      }),
    );

    test(
      "Topics reach subscribers on all nodes, each publisher's messages in order and without duplicates",
      staged(async (stage) => {
        const [a, b, c] = await stage.three((server) => {
          server.topics("room:*", { authorize: () => true, publish: true });
        });
        const clients = [await stage.join(a), await stage.join(b), await stage.join(c)];
        const subscriptions = clients.map((client) => client.subscribe<string>("room:1"));
        for (const subscription of subscriptions) await subscription.ready;
        await Promise.all(
          clients.map(async (client, index) => {
            for (let n = 0; n < 50; n += 1) await client.publish("room:1", `${index}/${n}`);
          }),
        );
        for (const subscription of subscriptions) {
          const items = await itemsOf(subscription, 150);
          for (const index of [0, 1, 2]) {
            const own = items.filter((item) => item.startsWith(`${index}/`));
            expect(own).toEqual(Array.from({ length: 50 }, (_, n) => `${index}/${n}`));
          }
          subscription.close();
        }
        await until(() => [a, b, c].every((server) => server.cluster?.stats.topics === 0));
      }),
    );

    test(
      "Messages published in one turn reach all subscribers on another node, up to the capacity of a send queue",
      staged(async (stage) => {
        const publishers: ((n: number) => unknown)[] = [];
        const [a, b] = await stage.three((server) => {
          const news = server.topic("news");
          publishers.push((n) => news.publish(n));
        });
        const count = 900;
        const clients = await Promise.all(Array.from({ length: 20 }, () => stage.join(b)));
        const subscriptions = clients.map((client) => client.subscribe<number>("news"));
        for (const subscription of subscriptions) await subscription.ready;
        const numbers = Array.from({ length: count }, (_, n) => n);
        for (let round = 0; round < 3; round += 1) {
          for (const n of numbers) publishers[0]?.(n);
          for (const subscription of subscriptions) expect(await itemsOf(subscription, count)).toEqual(numbers);
        }
        expect(a.cluster?.stats).toMatchObject({ refused: 0, lostSent: 0 });
        expect(subscriptions.map(({ dropped }) => dropped)).toEqual(subscriptions.map(() => 0));
      }),
    );

    test(
      "Presence lists the subscribers of all nodes until their node leaves",
      staged(async (stage) => {
        const [a, b, c] = await stage.three((server) => {
          server.topic("lobby", { presence: true, authorize: ({ user }) => ({ user: user.name }) });
        });
        const subscription = (await stage.join(a, ADA)).subscribe("lobby");
        await subscription.ready;
        const users = (): string =>
          (subscription.presence?.clients ?? [])
            .map(({ user }) => user)
            .sort()
            .join();
        await (await stage.join(b, BOB)).subscribe("lobby").ready;
        await (await stage.join(c, BOB)).subscribe("lobby").ready;
        await until(() => users() === "ada,bob,bob");
        await b.stop({ drainMs: 0 });
        await until(() => users() === "ada,bob");
        await stage.cluster.cut("c");
        await until(() => users() === "ada");
        await stage.cluster.heal("c");
        await until(() => users() === "ada,bob");
      }),
    );

    test(
      "Counts, lists, and revoked and changed users cover all nodes",
      staged(async (stage) => {
        const [a, b, c] = await stage.three();
        const ends = new EventLog<number>();
        for (const server of [a, b, c]) {
          (await stage.join(server, ADA)).onDisconnect((_client, { code }) => ends.add(code));
        }
        await stage.join(c, BOB);
        expect(await a.count()).toEqual({ count: 4, missing: [], isAlone: false });
        const { connections, next } = await a.listConnections({ where: { user: "bob" } });
        expect(connections).toMatchObject([{ node: "c", user: "bob" }]);
        expect(next).toBeNull();
        expect(await b.revoke("ada")).toEqual({ connections: 3, missing: [], isAlone: false });
        expect(await ends.count(3)).toEqual(Array.from({ length: 3 }, () => ErrorCode.IDENTITY_REVOKED));
        const set = { password: "new", roles: ["admin", "operator"], claims: { since: new Date(0), team: 7 } };
        expect(await b.setUser("ada", set)).toEqual({ missing: [], isAlone: false });
        const again = stage.client(c, ADA);
        expect((await failureOf(again.connect())).code).toBe(ErrorCode.AUTH_FAILED);
        await stage.join(c, { ...ADA, password: "new" });
        expect(c.connections[1]?.user).toMatchObject({ name: "ada", roles: set.roles, claims: set.claims });
      }),
    );

    test(
      "A node whose link is lost keeps serving its clients, counts unsent messages, and rejoins",
      staged(async (stage) => {
        const [a, b] = await stage.three((server) => {
          server.topic("news", { publish: true });
        });
        const client = await stage.join(a);
        const subscription = client.subscribe("news");
        await subscription.ready;
        const far = (await stage.join(b)).subscribe("news");
        await far.ready;
        await stage.cluster.cut("a");
        await until(() => a.cluster?.state === "reconnecting");
        await client.publish("news", "alone");
        expect((await subscription.next()).value).toBe("alone");
        expect(a.cluster?.stats.refused).toBe(1);
        expect(await a.count()).toMatchObject({ count: 1, isAlone: true });
        await stage.cluster.heal("a");
        await until(() => a.cluster?.state === "connected");
        await client.publish("news", "together");
        expect((await far.next()).value).toBe("together");
      }),
    );

    test.skipIf(!capabilities.records)(
      "A lost node's stored messages are delivered once by the node its client resumes on",
      staged(async (stage) => {
        const [a, b] = [
          await stage.node("a", () => undefined, { resume: { store: clusterStore() } }),
          await stage.node("b", () => undefined, { resume: { store: clusterStore() } }),
        ];
        await until(() => a.cluster?.nodes.length === 2);
        const relay = new Relay(a.address.port);
        await relay.start();
        stage.defer(() => relay.kill());
        const client = stage.client(relay, { ...ADA, resume: true, reconnect: RECONNECT });
        const notes = heard(client, "note");
        const resumed = new EventLog<unknown>();
        client.onResume((resumption) => resumed.add(resumption));
        await client.connect();
        const [connection] = a.connections;
        for (const n of [0, 1]) await connection?.send("note", n, { ack: { stored: true } });
        expect(await notes.count(2)).toEqual([0, 1]);
        // The network to the client fails, and then the node.
        relay.silence();
        for (const n of [2, 3, 4]) await connection?.send("note", n, { ack: { stored: true } });
        await stage.cluster.cut("a");
        await relay.kill();
        relay.speak();
        relay.leadTo(b.address.port);
        await relay.start();
        expect(await resumed.next()).toMatchObject({ restarted: true });
        expect((await notes.count(5)).toSorted()).toEqual([0, 1, 2, 3, 4]);
        await b.connections[0]?.send("note", 5, { ack: true });
        expect(notes.all.length).toBe(6);
      }),
    );

    test.skipIf(!capabilities.logs)(
      "A durable topic has one order for all nodes, and a client that resubscribes on another node misses nothing",
      staged(async (stage) => {
        const [a, b, c] = await stage.three((server) => {
          server.topic("orders", { publish: true, history: { messages: 1000, durable: true } });
        });
        const clients = [await stage.join(a), await stage.join(b)];
        const subscriptions = clients.map((client) => client.subscribe<string>("orders"));
        for (const subscription of subscriptions) await subscription.ready;
        const publish = (from: number, to: number): Promise<unknown> =>
          Promise.all(
            clients.map(async (client, index) => {
              for (let n = from; n < to; n += 1) await client.publish("orders", `${index}/${n}`);
            }),
          );
        await publish(0, 20);
        const [first, second] = [
          await itemsOf(subscriptions[0] as AsyncIterator<string>, 40),
          await itemsOf(subscriptions[1] as AsyncIterator<string>, 40),
        ];
        expect(first).toEqual(second);
        const since = subscriptions[0]?.position ?? "";
        await clients[0]?.disconnect();
        for (let n = 20; n < 30; n += 1) await clients[1]?.publish("orders", `1/${n}`);
        const returning = (await stage.join(c)).subscribe<string>("orders", { since });
        await returning.ready;
        expect(await itemsOf(returning, 10)).toEqual(Array.from({ length: 10 }, (_, n) => `1/${n + 20}`));
        expect(returning.recovered).toBe(true);
      }),
    );

    test.skipIf(!capabilities.logs)(
      "A subscriber with a position beyond the end of a durable topic's log isn't recovered, and gets later messages",
      staged(async (stage) => {
        const [a, b] = await stage.three((server) => {
          server.topic("orders", { publish: true, history: { messages: 1000, durable: true } });
        });
        const publisher = await stage.join(a);
        const first = publisher.subscribe<string>("orders");
        await first.ready;
        await publisher.publish("orders", "old");
        expect(await itemsOf(first, 1)).toEqual(["old"]);
        const [epoch] = (first.position as string).split(":");
        const returning = (await stage.join(b)).subscribe<string>("orders", { since: `${epoch}:5` });
        await returning.ready;
        expect(returning.recovered).toBe(false);
        await publisher.publish("orders", "new");
        expect(await itemsOf(returning, 1)).toEqual(["new"]);
      }),
    );
  });
}
