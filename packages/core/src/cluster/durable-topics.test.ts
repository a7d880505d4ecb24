import { expect, test } from "vitest";
import type { Subscription } from "../client/topics/subscription.ts";
import { ErrorCode } from "../errors.ts";
import type { Server } from "../server/server.ts";
import { clusterScene, three } from "../test-support/cluster-scene.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { outcome, testClient, testServer } from "../test-support/peers.ts";
import { taken } from "../test-support/topic-scene.ts";
import { TimerWheel } from "../util/timer-wheel.ts";
import type { ClusterLink, ClusterLog, LogPlace, LogReader } from "./driver.ts";
import { type DurableTopic, DurableTopics } from "./durable-topics.ts";

const DURABLE = { publish: true, history: { messages: 100, durable: true } };

function orders(server: Server): void {
  server.topic("orders", DURABLE);
}

test("A durable topic needs a cluster", async () => {
  const { server } = await testServer(fakeRuntime());
  expect(() => server.topic("orders", DURABLE)).toThrow(expect.objectContaining({ code: ErrorCode.INVALID_CONFIG }));
});

test("A durable topic needs an engine with logs", async () => {
  const all = clusterScene({ isDurable: false });
  const a = await all.node("a", {}, orders);
  const client = await a.join();
  await expect(client.publish("orders", 1)).rejects.toMatchObject({ code: ErrorCode.CLUSTER_UNAVAILABLE });
});

test("A client of a node that has left the cluster isn't subscribed to durable topics until the node restarts", async () => {
  const all = clusterScene();
  const first = await all.node("same", {}, orders);
  const client = await first.join();
  await all.runtime.advance(10);
  const second = await all.node("same", {}, orders);
  await all.runtime.settle();
  expect(first.server.cluster?.state).toBe("disconnected");
  const refused = outcome(client.subscribe("orders").ready);
  await all.runtime.settle();
  expect(refused.error).toMatchObject({
    code: ErrorCode.CLUSTER_UNAVAILABLE,
    message: expect.stringContaining("the node has left the cluster: Another node has started with the id 'same'"),
  });
  await second.server.stop({ drainMs: 0 });
  await first.server.stop({ drainMs: 0 });
  await first.server.start();
  const again = outcome((await first.join()).subscribe("orders").ready);
  await all.runtime.settle();
  expect(again.state).toBe("resolved");
});

test("A server reports that a durable topic can't be read, except while its link is down", async () => {
  const all = clusterScene({ isDurable: false });
  const reports: unknown[] = [];
  const a = await all.node("a", {}, (server) => {
    orders(server);
    server.onError((error, { stage }) => reports.push([stage, error.message]));
  });
  const client = await a.join();
  all.cluster.cut("a");
  const { ready } = client.subscribe("orders");
  const subscribed = outcome(ready);
  await all.runtime.advance(3000);
  expect(reports).toEqual([]);
  all.cluster.heal("a");
  await all.runtime.advance(3000);
  expect(reports[0]).toEqual([
    "cluster",
    "Cannot use the durable topic 'orders': the engine of the cluster has no logs",
  ]);
  // Its client keeps retrying.
  expect(subscribed.state).toBe("pending");
});

test("Subscribers on all nodes receive the same order, and a client's publish resolves when the message is stored", async () => {
  const all = clusterScene();
  const [a, b] = await three(all, {}, orders);
  const [atA, atB] = [(await a.join()).subscribe("orders"), (await b.join()).subscribe("orders")];
  await Promise.all([atA.ready, atB.ready]);
  const [one, two] = [await a.join(), await b.join()];
  await Promise.all(Array.from({ length: 20 }, (_, n) => (n % 2 === 0 ? one : two).publish("orders", n)));
  await all.runtime.settle();
  const items = await taken(atA);
  expect(items.length).toBe(20);
  expect(await taken(atB)).toEqual(items);
});

test("A subscriber that reconnects to another node continues at its position", async () => {
  const all = clusterScene();
  const [a, b, c] = await three(all, {}, orders);
  const first = (await a.join()).subscribe("orders");
  await first.ready;
  const publisher = await b.join();
  for (let n = 0; n < 5; n += 1) await publisher.publish("orders", n);
  await all.runtime.settle();
  expect(await taken(first)).toEqual([0, 1, 2, 3, 4]);
  const since = first.position ?? "";
  first.close();
  for (let n = 5; n < 10; n += 1) await publisher.publish("orders", n);
  const second = (await c.join()).subscribe("orders", { since });
  await second.ready;
  await all.runtime.settle();
  expect([await taken(second), second.recovered]).toEqual([[5, 6, 7, 8, 9], true]);
});

test("append() resolves with the position after the message, and appends a message with an id once", async () => {
  const all = clusterScene();
  const a = await all.node("a");
  const topic = a.server.topic<"orders">("orders", DURABLE);
  const subscription = (await a.join()).subscribe("orders");
  await subscription.ready;
  const place = await topic.append(1, { id: "order-1" });
  expect(await topic.append(1, { id: "order-1" })).toBe(place);
  await all.runtime.settle();
  expect(await taken(subscription)).toEqual([1]);
  expect(subscription.position).toBe(place);
  expect(topic.position).toBe(place);
});

test("While the link is down, publishing is rejected with a code; afterwards subscribers haven't missed anything", async () => {
  const all = clusterScene();
  const [a, b] = await three(all, {}, orders);
  const client = await a.join();
  const subscription = client.subscribe("orders");
  await subscription.ready;
  const publisher = await b.join();
  await publisher.publish("orders", 1);
  all.cluster.cut("a");
  const refused = outcome(client.publish("orders", "x"));
  await all.runtime.settle();
  expect(refused.error?.code).toBe(ErrorCode.CLUSTER_UNAVAILABLE);
  expect(refused.error?.details).toEqual({ retry_after: 1 });
  await publisher.publish("orders", 2);
  all.cluster.heal("a");
  await all.runtime.settle();
  await client.publish("orders", 3);
  await all.runtime.settle();
  expect(await taken(subscription)).toEqual([1, 2, 3]);
});

test("A client that subscribes while the link is down is subscribed when it returns", async () => {
  const all = clusterScene();
  const a = await all.node("a", {}, orders);
  all.cluster.cut("a");
  const subscription = (await a.join()).subscribe("orders");
  const ready = outcome(subscription.ready);
  await all.runtime.advance(3000);
  expect(ready.state).toBe("pending");
  all.cluster.heal("a");
  await all.runtime.advance(3000);
  expect(ready.state).toBe("resolved");
});

test("When the engine has lost its data, subscribers are notified of possibly missed messages and continue", async () => {
  const all = clusterScene();
  const a = await all.node("a", {}, orders);
  const client = await a.join();
  const subscription = client.subscribe("orders");
  await subscription.ready;
  await client.publish("orders", 1);
  await all.runtime.settle();
  const { position } = subscription;
  all.cluster.wipe();
  await client.publish("orders", 2);
  await all.runtime.settle();
  expect(await taken(subscription)).toEqual([1, 2]);
  const returning = client.subscribe("orders", { since: position ?? "" });
  await returning.ready;
  expect(returning.recovered).toBe(false);
});

test("A subscriber whose position is beyond the end of a log with the same epoch is told of the loss, and misses nothing new", async () => {
  const all = clusterScene();
  const a = await all.node("a", {}, orders);
  const client = await a.join();
  const first = client.subscribe("orders");
  await first.ready;
  await client.publish("orders", 1);
  await all.runtime.settle();
  const [epoch] = (first.position as string).split(":");
  // As after a restart of everything with older data.
  const returning = (await a.join()).subscribe("orders", { since: `${epoch}:5` });
  await returning.ready;
  await client.publish("orders", 2);
  await all.runtime.settle();
  expect([await taken(returning), returning.recovered]).toEqual([[2], false]);
  expect(returning.position).toBe(`${epoch}:2`);
  expect([await taken(first), first.dropped]).toEqual([[1, 2], 0]);
});

test("Subscriptions of a reconnecting client to one topic are told separately whether their messages were lost", async () => {
  const all = clusterScene();
  const a = await all.node("a", {}, orders);
  const publisher = await a.join();
  const first = publisher.subscribe("orders");
  await first.ready;
  await publisher.publish("orders", 1);
  await all.runtime.settle();
  const [epoch] = (first.position as string).split(":");
  const { client } = testClient(all.runtime, { port: a.port, reconnect: { jitter: false, delayMs: 100 } });
  const connecting = client.connect();
  const [complete, ahead] = [0, 5].map((offset) => client.subscribe("orders", { since: `${epoch}:${offset}` }));
  await connecting;
  await Promise.all([complete?.ready, ahead?.ready]);
  await publisher.publish("orders", 2);
  await all.runtime.settle();
  expect([await taken(complete as Subscription), complete?.recovered]).toEqual([[1, 2], true]);
  expect([(await taken(ahead as Subscription)).at(-1), ahead?.recovered]).toEqual([2, false]);
});

test("A client without permission to subscribe doesn't cause a log to be opened", async () => {
  const all = clusterScene();
  const a = await all.node("a", {}, (server) => {
    server.topics("room:*", { ...DURABLE, authorize: () => false });
  });
  const subscription = (await a.join()).subscribe("room:1");
  await expect(subscription.ready).rejects.toMatchObject({ code: ErrorCode.PERMISSION_DENIED });
  expect(a.server.cluster?.stats.topics).toBe(0);
});

test("A topic of a durable pattern is read again with its history after its last subscriber has left", async () => {
  const all = clusterScene();
  const a = await all.node("a", {}, (server) => {
    server.topics("room:*", { publish: true, retain: 2, history: { durable: true }, authorize: () => true });
  });
  const client = await a.join();
  const first = client.subscribe("room:1");
  await first.ready;
  for (let n = 1; n <= 3; n += 1) await client.publish("room:1", n);
  first.close();
  await all.runtime.settle();
  const second = client.subscribe("room:1");
  await second.ready;
  await all.runtime.settle();
  expect(await taken(second)).toEqual([2, 3]);
});

test("publish() to a durable topic that can't be stored is reported", async () => {
  const all = clusterScene();
  const a = await all.node("a");
  const topic = a.server.topic<"orders">("orders", DURABLE);
  const errors: (number | string | undefined)[] = [];
  a.server.onError((error, { stage, name }) => errors.push(stage, name, (error as { code?: number }).code));
  all.cluster.cut("a");
  topic.publish(1);
  await all.runtime.settle();
  expect(errors).toEqual(["cluster", "orders", ErrorCode.CLUSTER_UNAVAILABLE]);
});

test("Messages that exceed this node's maxMessageBytes are counted and reported together, and subscribers continue after them", async () => {
  const all = clusterScene();
  const a = await all.node("a", {}, orders);
  const b = await all.node("b", { maxMessageBytes: 1024 }, orders);
  const errors: unknown[] = [];
  b.server.onError((error, { stage }) => errors.push([stage, (error as { code?: number }).code]));
  const subscription = (await b.join()).subscribe("orders");
  await subscription.ready;
  const publisher = await a.join();
  for (const data of [1, "x".repeat(3000), "x".repeat(3000), 3]) await publisher.publish("orders", data);
  await all.runtime.settle();
  expect(await taken(subscription)).toEqual([1, 3]);
  expect(errors).toEqual([["cluster", ErrorCode.MESSAGE_TOO_LARGE]]);
  expect(b.server.cluster?.stats.lostReceived).toBe(2);
});

test("A client whose newest message exceeds this node's maxMessageBytes can subscribe", async () => {
  const all = clusterScene();
  const a = await all.node("a", {}, orders);
  const b = await all.node("b", { maxMessageBytes: 1024 }, orders);
  await (await a.join()).publish("orders", "x".repeat(3000));
  const subscription = (await b.join()).subscribe("orders");
  const ready = outcome(subscription.ready);
  await all.runtime.settle();
  expect(ready.state).toBe("resolved");
});

/** Creates durable topics whose log has messages that never arrive. */
function waiting(newest = 1, methods: Partial<ClusterLog> = {}) {
  const runtime = fakeRuntime();
  let reads = 0;
  const log: ClusterLog = {
    append: () => Promise.reject(new Error("unused")),
    read: (_last, reader) => {
      reads += 1;
      reader.starts({ epoch: "e", offset: 0 }, newest);
    },
    newest: () => Promise.reject(new Error("unused")),
    close: () => undefined,
    ...methods,
  };
  const durable = new DurableTopics({
    wheel: new TimerWheel(runtime),
    now: () => runtime.now(),
    answerTimeoutMs: 1,
    link: () => ({ logs: { open: async () => log } }) as unknown as ClusterLink,
    encode: (body) => body,
    decode: () => null,
    cannotRead: () => undefined,
    entryFailed: () => undefined,
  });
  const topic: DurableTopic = {
    name: "orders",
    limits: { messages: 1, bytes: 1, ageMs: 1 },
    logStarts: () => undefined,
    logEntry: () => undefined,
    logLost: () => undefined,
  };
  return { runtime, durable, topic, reads: () => reads };
}

/** A log whose reader gets entries one by one, and which says what its newest message is. */
async function readingScene() {
  let reader: LogReader | undefined;
  const asked: ((place: LogPlace) => void)[] = [];
  const scene = waiting(0, {
    read: (_last, given) => {
      reader = given;
      reader.starts({ epoch: "e", offset: 0 }, 0);
    },
    newest: () => new Promise((resolve) => asked.push(resolve)),
  });
  const { runtime, durable, topic } = scene;
  await durable.open(topic);
  const openAt = async (offset: number, epoch = "e") => {
    const opened = outcome(durable.open(topic, { epoch, offset }));
    await runtime.settle();
    return opened;
  };
  return { ...scene, reader: reader as LogReader, asked, openAt };
}

test("Opening a topic at a position that this node hasn't read waits for it if the log has it", async () => {
  const { runtime, reader, asked, openAt } = await readingScene();
  const opened = await openAt(2);
  asked[0]?.({ epoch: "e", offset: 3 });
  for (const [offset, state] of [
    [1, "pending"],
    [2, "pending"],
    [3, "resolved"],
  ] as const) {
    reader.entry(offset, new Uint8Array());
    await runtime.settle();
    expect(opened.state).toBe(state);
  }
  expect([(await openAt(3)).state, (await openAt(9, "other")).state, asked.length]).toEqual([
    "resolved",
    "resolved",
    1,
  ]);
});

test("Opening a topic at a position beyond the end of its log doesn't wait, and asks again for those that came later", async () => {
  const { runtime, asked, openAt } = await readingScene();
  const first = await openAt(2);
  const others = [await openAt(3), await openAt(4)];
  expect(asked.length).toBe(1);
  asked[0]?.({ epoch: "e", offset: 0 });
  await runtime.settle();
  expect([first.state, others.map(({ state }) => state), asked.length]).toEqual([
    "resolved",
    ["pending", "pending"],
    2,
  ]);
  asked[1]?.({ epoch: "e", offset: 0 });
  await runtime.settle();
  expect(others.map(({ state }) => state)).toEqual(["resolved", "resolved"]);
});

test.each([["before"], ["after"]])(
  "Opening a topic at a position rejects if it is closed %s the log has answered",
  async (when) => {
    const { runtime, durable, topic, asked, openAt } = await readingScene();
    const opened = await openAt(2);
    if (when === "before") durable.close(topic);
    asked[0]?.({ epoch: "e", offset: 2 });
    await runtime.settle();
    durable.close(topic);
    await runtime.settle();
    expect(opened.error?.code).toBe(ErrorCode.CLUSTER_UNAVAILABLE);
  },
);

test("A topic that is closed and opened repeatedly is read five times immediately and then once per second", async () => {
  const { runtime, durable, topic, reads } = waiting(0);
  for (let n = 0; n < 100; n += 1) {
    const opened = outcome(durable.open(topic));
    await runtime.settle();
    expect(opened.state).toBe(n < 5 ? "resolved" : "pending");
    durable.close(topic);
    await runtime.settle();
  }
  expect(reads()).toBe(5);
  const opened = outcome(durable.open(topic));
  await runtime.advance(900);
  expect(opened.state).toBe("pending");
  await runtime.advance(200);
  expect([opened.state, reads()]).toEqual(["resolved", 6]);
  durable.close(topic);
  await runtime.advance(2000);
  const later = outcome(durable.open(topic));
  await runtime.settle();
  expect(later.state).toBe("resolved");
});

test.each([["closed"], ["stopped"]])("Opening a topic rejects if it is %s before it is up to date", async (how) => {
  const { runtime, durable, topic } = waiting();
  const opened = outcome(durable.open(topic));
  await runtime.settle();
  expect(opened.state).toBe("pending");
  if (how === "closed") durable.close(topic);
  else durable.stop(null);
  await runtime.settle();
  expect(opened.error?.code).toBe(ErrorCode.CLUSTER_UNAVAILABLE);
});
