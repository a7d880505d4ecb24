import { expect, test } from "vitest";
import type { Client } from "../client/client.ts";
import type { Subscription } from "../client/topics/subscription.ts";
import { asConduitError, ErrorCode } from "../errors.ts";
import type { Server } from "../server/server.ts";
import { ADA, type ClusterScene, clusterScene, firstIdOf, three } from "../test-support/cluster-scene.ts";
import { outcome } from "../test-support/peers.ts";
import { Random } from "../test-support/random.ts";
import { taken } from "../test-support/topic-scene.ts";
import type { ClusterLoss } from "./cluster.ts";
import type { ClusterDriver } from "./driver.ts";

const LIMITS = { heartbeatMs: 100, nodeTimeoutMs: 300 };

function plain(server: Server): void {
  server.topic("news", { publish: true });
}

function kept(server: Server): void {
  server.topic("news", { publish: true, history: { messages: 100 } });
}

function withPresence(server: Server): void {
  server.topic("room", { presence: true });
}

/** Subscribes from a subscription's position and returns whether nothing was missed. */
async function isRecovered(client: Client, since: string | null): Promise<boolean | null> {
  const again = client.subscribe("news", { since: since ?? "" });
  await again.ready;
  return again.recovered;
}

async function positionAfterOne(all: ClusterScene, subscriber: Client, publisher: Client) {
  const subscription = subscriber.subscribe("news");
  await subscription.ready;
  await publisher.publish("news", 1);
  await all.runtime.settle();
  expect(await taken(subscription)).toEqual([1]);
  return { subscription, position: subscription.position };
}

test.each([[200], [1000]])(
  "After a partition of %d ms, subscribers are notified of possibly missed messages",
  async (ms) => {
    const all = clusterScene({}, LIMITS);
    const [a, b] = await three(all, {}, plain);
    const publisher = await b.join();
    const { subscription, position } = await positionAfterOne(all, await a.join(), publisher);
    const told: unknown[] = [];
    subscription.onResume((resumption) => told.push(resumption));
    all.cluster.partition(["a"], ["b", "c"]);
    await publisher.publish("news", 2);
    await all.runtime.advance(ms);
    all.cluster.partition();
    await all.runtime.advance(500);
    expect(subscription.position).not.toBe(position);
    expect(told).toEqual([{ recovered: false, missed: null }]);
  },
);

test("The first message after a partition, before any heartbeat, reveals the loss of earlier ones, even if its node had left", async () => {
  const all = clusterScene({}, LIMITS);
  const [a, b] = await three(all, {}, plain);
  const publisher = await b.join();
  const { subscription } = await positionAfterOne(all, await a.join(), publisher);
  all.cluster.partition(["a"], ["b", "c"]);
  await publisher.publish("news", 2);
  await all.runtime.advance(1000);
  const before = subscription.position?.split(":")[0];
  all.cluster.partition();
  await publisher.publish("news", 3);
  await all.runtime.settle();
  expect(await taken(subscription)).toEqual([3]);
  expect(subscription.position?.split(":")[0]).not.toBe(before);
  expect(subscription.recovered).toBe(false);
  const atFirst = subscription.position?.split(":")[0];
  // The heartbeats also reveal the loss, but it is reported only once.
  await all.runtime.advance(500);
  expect(subscription.position?.split(":")[0]).toBe(atFirst);
});

test("A position isn't recovered on a node on which the topic had no subscribers for a while", async () => {
  const all = clusterScene();
  const [a, b] = await three(all, {}, plain);
  const [client, publisher] = [await a.join(), await b.join()];
  const { subscription, position } = await positionAfterOne(all, client, publisher);
  subscription.close();
  await all.runtime.settle();
  await publisher.publish("news", 2);
  expect(await isRecovered(client, position)).toBe(false);
});

test("Positions aren't recovered on a server that was stopped and restarted", async () => {
  const all = clusterScene();
  const [a, b] = await three(all, {}, kept);
  const [client, publisher] = [await a.join(), await b.join()];
  const { position } = await positionAfterOne(all, client, publisher);
  await client.close();
  await a.server.stop({ drainMs: 0 });
  await publisher.publish("news", 2);
  await a.server.start();
  await all.runtime.settle();
  expect(await isRecovered(await a.join(), position)).toBe(false);
});

test("Subscribers of a replaced node are notified that they may miss messages", async () => {
  const all = clusterScene();
  const [a, b] = await three(all, {}, kept);
  const client = await a.join();
  const { position } = await positionAfterOne(all, client, await b.join());
  await all.runtime.advance(1000);
  await all.node("a", {}, kept);
  await all.runtime.settle();
  expect(a.server.cluster?.state).toBe("disconnected");
  expect(await isRecovered(client, position)).toBe(false);
});

test("Durable subscriptions of a replaced node end with CLUSTER_UNAVAILABLE", async () => {
  const durable = (server: Server) => void server.topic("orders", { history: { messages: 10, durable: true } });
  const all = clusterScene();
  const [a] = await three(all, {}, durable);
  const subscription = (await a.join()).subscribe("orders");
  await subscription.ready;
  const next = outcome(subscription[Symbol.asyncIterator]().next());
  await all.runtime.advance(1000);
  await all.node("a", {}, durable);
  await all.runtime.settle();
  expect(a.server.cluster?.state).toBe("disconnected");
  expect(next.error?.code).toBe(ErrorCode.CLUSTER_UNAVAILABLE);
});

test.each([
  ["shorter than a heartbeat", 0],
  ["of some heartbeats", 250],
])(
  "A topic's last member that leaves while the link is down is removed on other nodes after a cut %s",
  async (_cut, ms) => {
    const all = clusterScene({}, LIMITS);
    const [a, b] = await three(all, {}, withPresence);
    const [atA, atB] = [(await a.join()).subscribe("room"), (await b.join()).subscribe("room")];
    await Promise.all([atA.ready, atB.ready]);
    await all.runtime.advance(500);
    expect(atA.presence?.size).toBe(2);
    all.cluster.cut("b");
    atB.close();
    await all.runtime.advance(ms);
    all.cluster.heal("b");
    await all.runtime.advance(500);
    expect(atA.presence?.size).toBe(1);
  },
);

test("A node answers a request for a topic that it no longer has with an empty list of members", async () => {
  const all = clusterScene({}, LIMITS);
  const [a, b] = await three(all, {}, withPresence);
  const [atA, atB] = [(await a.join()).subscribe("room"), (await b.join()).subscribe("room")];
  await Promise.all([atA.ready, atB.ready]);
  await all.runtime.advance(500);
  all.cluster.partition(["a"], ["b", "c"]);
  atB.close();
  await all.runtime.advance(250);
  all.cluster.partition();
  await all.runtime.advance(500);
  expect(atA.presence?.size).toBe(1);
});

test("A message to a user or topic with a name of more than 256 characters has no address of that name", async () => {
  const all = clusterScene();
  const longest = { value: 0 };
  const a = await all.node("a", { cluster: measuring(all.cluster.driver({ nodeId: "a" }), longest) });
  a.server.send({ user: "u".repeat(5000) }, "hello", null);
  a.server.broadcast("hello", null, { where: { topic: "t".repeat(5000) } });
  a.server.broadcast("hello", null, { where: { user: "u".repeat(256) } });
  expect(longest.value).toBe(256);
});

/** Wraps a driver to record the length of the longest address name. */
function measuring(driver: ClusterDriver, longest: { value: number }): ClusterDriver {
  return {
    name: driver.name,
    options: driver.options,
    start: async (host) => {
      const link = await driver.start(host);
      const publish = link.publish.bind(link);
      link.publish = (address, payload) => {
        longest.value = Math.max(longest.value, address.name.length);
        return publish(address, payload);
      };
      return link;
    },
  };
}

/** Returns a subscriber on node a and a publisher on node b, after heartbeats of both. */
async function settled() {
  const all = clusterScene({}, LIMITS);
  const [a, b] = await three(all, {}, plain);
  const [subscriber, publisher] = [await a.join(), await b.join()];
  const subscription = subscriber.subscribe("news");
  await subscription.ready;
  await all.runtime.advance(350);
  const epochOf = (position: string | null): string | undefined => position?.split(":")[0];
  const before = epochOf(subscription.position);
  return { all, a, subscription, publisher, hasMissed: () => epochOf(subscription.position) !== before };
}

test("The loss of a publisher's first message is detected, even if no other follows", async () => {
  const { all, a, publisher, hasMissed } = await settled();
  all.cluster.dropNext(1);
  await publisher.publish("news", 1);
  await all.runtime.advance(250);
  expect([hasMissed(), a.server.cluster?.stats.lostReceived]).toEqual([true, 1]);
});

test("The loss of a publisher's first message is detected with the next heartbeat if others follow, and counted once", async () => {
  const { all, a, subscription, publisher } = await settled();
  all.cluster.dropNext(1);
  for (const n of [1, 2, 3]) await publisher.publish("news", n);
  await all.runtime.advance(500);
  expect(await taken(subscription)).toEqual([2, 3]);
  expect(a.server.cluster?.stats.lostReceived).toBe(1);
});

test("The loss of a publisher's last message is detected with the next heartbeat", async () => {
  const { all, a, publisher } = await settled();
  await publisher.publish("news", 1);
  await all.runtime.advance(200);
  await publisher.publish("news", 2);
  all.cluster.dropNext(1);
  await publisher.publish("news", 3);
  await all.runtime.advance(250);
  expect(a.server.cluster?.stats.lostReceived).toBe(1);
});

test.each([1, 2, 3, 4, 5])(
  "Nothing counts as missing while nodes subscribe, leave and publish at random (seed %d)",
  async (seed) => {
    const random = new Random(seed);
    const all = clusterScene({ delayMs: 20 }, LIMITS);
    const nodes = await three(all, {}, (server) =>
      server.topics("room:*", { authorize: () => true, publish: true, presence: true }),
    );
    const clients = await Promise.all(nodes.map((node) => node.join()));
    const open = new Map<string, Subscription<unknown>>();
    for (let step = 0; step < 300; step += 1) {
      const [client, topic] = [random.below(3), `room:${random.below(3)}`];
      const key = `${client} ${topic}`;
      const known = open.get(key);
      if (random.isLucky(0.7)) void clients[client]?.publish(topic, step).catch(() => undefined);
      else if (known === undefined) open.set(key, clients[client]?.subscribe(topic) as Subscription<unknown>);
      else if (open.delete(key)) known.close();
      await all.runtime.advance(random.below(40));
    }
    await all.runtime.advance(500);
    expect(nodes.map(({ server }) => server.cluster?.stats.lostReceived)).toEqual([0, 0, 0]);
    for (const subscription of open.values()) {
      const [topic] = [...open].find(([, one]) => one === subscription) ?? [];
      const there = [...open.keys()].filter((key) => key.slice(2) === topic?.slice(2));
      expect(subscription.presence?.size).toBe(there.length);
    }
  },
);

test("A lost presence change is corrected after the next heartbeat", async () => {
  const all = clusterScene({}, LIMITS);
  const [a, b] = await three(all, {}, withPresence);
  const [here, client] = [(await a.join()).subscribe("room"), await b.join()];
  await here.ready;
  await all.runtime.advance(350);
  // Its request, and the notification of the new subscriber.
  const there = client.subscribe("room");
  await there.ready;
  all.cluster.dropNext(1);
  await all.runtime.advance(110);
  expect(here.presence?.size).toBe(1);
  await all.runtime.advance(200);
  expect(here.presence?.size).toBe(2);
});

test.each([["question"], ["answer"]])(
  "A node that begins to receive a topic asks again who is there if the %s got lost",
  async (lost) => {
    const all = clusterScene({ delayMs: 1 }, LIMITS);
    const [a, b] = await three(all, {}, withPresence);
    await all.runtime.advance(350);
    await (await b.join()).subscribe("room").ready;
    await all.runtime.advance(350);
    const client = await a.join();
    if (lost === "question") all.cluster.dropNext(1);
    const here = client.subscribe("room");
    await here.ready;
    // The request is in flight; the next message is the answer.
    if (lost === "answer") all.cluster.refuseNext(1);
    await all.runtime.advance(150);
    expect(here.presence?.size).toBe(1);
    await all.runtime.advance(350);
    expect(here.presence?.size).toBe(2);
  },
);

test("Messages that exceed this node's maxMessageBytes are lost for its clients: they are counted, clients are notified, and errors are reported once per second", async () => {
  const all = clusterScene({}, LIMITS);
  const losses: ClusterLoss[] = [];
  const errors: { code: number; message: string; count?: number }[] = [];
  const a = await all.node("a", {}, plain);
  const b = await all.node("b", { maxMessageBytes: 65_536 }, (server) => {
    plain(server);
    server.cluster?.onLoss((loss) => void losses.push(loss));
    server.onError((error, { stage, count = 1 }) => {
      if (stage === "cluster") errors.push({ code: asConduitError(error).code, message: error.message, count });
    });
  });
  await all.runtime.settle();
  const publisher = await a.join();
  const { subscription, position } = await positionAfterOne(all, await b.join(ADA), publisher);
  const large = "x".repeat(100_000);
  const told: unknown[] = [];
  subscription.onResume((resumption) => told.push(resumption));
  await publisher.publish("news", large);
  await publisher.publish("news", 2);
  await all.runtime.settle();
  expect([await taken(subscription), told]).toEqual([[2], [{ recovered: false, missed: null }]]);
  expect(await isRecovered(await b.join(), position)).toBe(false);
  expect(losses).toEqual([{ direction: "received", count: 1, reason: "unreadable", node: "a", topic: "news" }]);
  for (let n = 0; n < 100; n += 1) a.server.broadcast("note", large);
  for (let n = 0; n < 100; n += 1) a.server.send(firstIdOf(b), "note", large);
  await all.runtime.advance(1500);
  a.server.broadcast("note", large);
  await all.runtime.settle();
  expect(b.server.cluster?.stats.lostReceived).toBe(202);
  expect(errors.map(({ code, count }) => [code, count])).toEqual([
    [ErrorCode.MESSAGE_TOO_LARGE, 1],
    [ErrorCode.MESSAGE_TOO_LARGE, 201],
  ]);
  expect(errors[0]?.message).toContain("Cannot send 'news': 100");
  for (let n = 0; n < 5; n += 1) a.server.broadcast("note", large);
  await all.runtime.settle();
  const stopped = b.server.stop({ drainMs: 0 });
  await all.runtime.advance(1000);
  await stopped;
  expect(errors.slice(2).map(({ count }) => count)).toEqual([5]);
});

/** Wraps a driver to hold messages to topics while `isHolding`. */
function holding(driver: ClusterDriver) {
  const held: (() => unknown)[] = [];
  const network = {
    isHolding: false,
    release() {
      for (const send of held.splice(0)) send();
    },
  };
  const start: ClusterDriver["start"] = async (host) => {
    const link = await driver.start(host);
    const publish = link.publish.bind(link);
    link.publish = (address, payload) => {
      if (!network.isHolding || address.kind !== "topic") return publish(address, payload);
      held.push(() => publish(address, payload));
      return "sent";
    };
    return link;
  };
  return { network, driver: { ...driver, start } };
}

test("A message that the network delayed until its node had another link is dropped and counted, because it is out of order", async () => {
  const all = clusterScene({}, LIMITS);
  const { network, driver } = holding(all.cluster.driver({ nodeId: "a", ...LIMITS }));
  const a = await all.node("a", { cluster: driver }, plain);
  const b = await all.node("b", {}, plain);
  await all.runtime.settle();
  const [publisher, subscriber] = [await a.join(), await b.join()];
  const { subscription } = await positionAfterOne(all, subscriber, publisher);
  network.isHolding = true;
  await publisher.publish("news", "old");
  network.isHolding = false;
  all.cluster.cut("a");
  all.cluster.heal("a");
  await all.runtime.settle();
  await publisher.publish("news", "new");
  network.release();
  await all.runtime.settle();
  expect(await taken(subscription)).toEqual(["new"]);
  expect(b.server.cluster?.stats.stale).toBe(1);
});
