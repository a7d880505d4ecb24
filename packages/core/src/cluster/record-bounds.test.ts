/** Bounds on data from other nodes. Each test fails without one of the bounds. */
import { expect, test } from "vitest";
import type { VerifiedUser } from "../auth/users.ts";
import { ErrorCode } from "../errors.ts";
import { clusterScene } from "../test-support/cluster-scene.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { TimerWheel } from "../util/timer-wheel.ts";
import { EncodedValue } from "../wire/encoded-value.ts";
import { type ClusterTopic, ClusterTopics, type ClusterTopicsHost } from "./cluster-topics.ts";
import { checkFilter, readFilter } from "./connection-filter.ts";
import type { ClusterLink, ClusterLog, PublishResult } from "./driver.ts";
import { DurableTopics } from "./durable-topics.ts";
import { EnvelopeHead, EnvelopeKind, isNodeId, NO_BODY } from "./envelope.ts";
import { LinkWaits } from "./link-waits.ts";
import type { LocalNode } from "./local-node.ts";
import { Membership, type Node } from "./membership.ts";
import type { NodeCalls } from "./node-calls.ts";
import { NodeQuestions } from "./node-questions.ts";
import { NodeRequests } from "./node-requests.ts";
import { OpenCalls } from "./open-calls.ts";

test("a filter has at most 1,000 values of a key", () => {
  const users = (count: number): { user: string[] } => ({ user: Array.from({ length: count }, (_, n) => `${n}`) });
  expect(readFilter(users(1000))).toEqual(users(1000));
  expect(() => readFilter(users(1001))).toThrow(expect.objectContaining({ code: ErrorCode.MALFORMED_PAYLOAD }));
  expect(() => checkFilter(users(1001), "count")).toThrow(expect.objectContaining({ code: ErrorCode.INVALID_CONFIG }));
});

test("the id of a node has at most 64 characters, and a name in a head 256", () => {
  expect([isNodeId("a".repeat(64)), isNodeId("a".repeat(65))]).toEqual([true, false]);
  const head = new EnvelopeHead({ fits: "a".repeat(256), exceeds: "a".repeat(257) });
  expect(head.text("fits").length).toBe(256);
  expect(() => head.text("exceeds")).toThrow(expect.objectContaining({ code: ErrorCode.MALFORMED_PAYLOAD }));
});

test("at most 1,000 calls are checked at a heartbeat, and the others at the next ones", () => {
  const calls = new OpenCalls(() => 0);
  for (let id = 0; id < 1500; id += 1) calls.add("epoch", id);
  expect(calls.takeDue("epoch", 0)).toEqual(Array.from({ length: 1000 }, (_, id) => id));
  expect(calls.takeDue("epoch", 0).slice(0, 500)).toEqual(Array.from({ length: 500 }, (_, n) => 1000 + n));
});

test("at most 10,000 messages with ack wait for the link", async () => {
  const waits = new LinkWaits();
  const waiting = Array.from({ length: 10_000 }, () => waits.wait("note", undefined));
  expect(waits.hasRoom).toBe(false);
  waits.end();
  await Promise.all(waiting);
  expect(waits.hasRoom).toBe(true);
});

const BYTES = new Uint8Array([1]);

function numbered<T>(count: number, make: (n: number) => T): T[] {
  return Array.from({ length: count }, (_, n) => make(n));
}

function membership() {
  const runtime = fakeRuntime();
  const ignore = (): void => undefined;
  const known = new Membership(
    {
      wheel: new TimerWheel(runtime),
      heartbeatMs: 100,
      nodeTimeoutMs: 300,
      now: () => runtime.now(),
      sendHeartbeat: ignore,
      joined: ignore,
      left: ignore,
      missedFrom: ignore,
      replaced: ignore,
    },
    { id: "self", epoch: "1", link: 0, startedAt: 0 },
  );
  known.start();
  return { runtime, known };
}

test("the last 10,000 ended runs of nodes are remembered", () => {
  const { known } = membership();
  const runs = numbered(10_001, (n) => ({ id: "b", epoch: `${n}`, link: 0 }));
  for (const run of runs) known.leaveReceived(run);
  expect(runs.filter((run) => known.isCurrent(run))).toEqual([runs[0]]);
});

test("the last 1,000 nodes that were lost are remembered", async () => {
  const { runtime, known } = membership();
  const ids = numbered(1001, (n) => `node${n}`);
  for (const id of ids)
    known.heartbeatReceived({ id, epoch: id, link: 0 }, { startedAt: 1, connections: 0, sequence: 1 });
  await runtime.advance(500);
  expect(known.nodes.size).toBe(0);
  expect(known.lost.map(({ id }) => id)).toEqual(ids.slice(1));
});

/** Creates a node's topics, with the messages that it has published and the losses that it has detected. */
function topicsOfANode() {
  const runtime = fakeRuntime();
  const wheel = new TimerWheel(runtime);
  const published: Readonly<Record<string, unknown>>[] = [];
  const missed: string[] = [];
  const link: { result: PublishResult } = { result: "sent" };
  const closed: string[] = [];
  const durable = new DurableTopics({
    wheel,
    now: () => runtime.now(),
    answerTimeoutMs: 1,
    link: () => ({ logs: { open: async (name: string) => log(name) } }) as unknown as ClusterLink,
    encode: (body) => body,
    decode: () => null,
    cannotRead: () => undefined,
    entryFailed: () => undefined,
  });
  const log = (name: string): ClusterLog => ({
    append: async () => ({ epoch: "e", offset: 1 }),
    read: () => undefined,
    newest: async () => ({ epoch: "e", offset: 1 }),
    close: () => closed.push(name),
  });
  const host: ClusterTopicsHost = {
    wheel,
    heartbeatMs: 1000,
    now: () => runtime.now(),
    subscribe: () => null,
    mustFit: () => undefined,
    epoch: () => "self",
    node: () => undefined,
    missed: (_topic, node) => missed.push(node),
    publish: (_to, _kind, head) => {
      published.push(head);
      return link.result;
    },
  };
  const topic = (name: string, hasPresence = false): ClusterTopic => ({
    name,
    hasPresence,
    ownPresence: () => [],
    deliver: () => undefined,
    interrupted: () => undefined,
    othersChanged: () => undefined,
    othersLeft: () => undefined,
  });
  return { topics: new ClusterTopics(host, durable), topic, link, published, missed, closed, runtime };
}

test("at most the 10,000 latest closed topics wait until other nodes can be notified that they have no members", () => {
  const { topics, topic, link, published } = topicsOfANode();
  link.result = "disconnected";
  const names = numbered(10_001, (n) => `topic ${n}`);
  for (const name of names) {
    const one = topic(name, true);
    topics.open(one);
    topics.presence.changed(one, "id", ["id", null]);
    topics.close(one);
  }
  link.result = "sent";
  published.length = 0;
  topics.presence.reconnected();
  expect(published.flatMap(({ nobody }) => nobody)).toEqual(names.slice(1));
});

test("an id or a user in a topic has at most 256 characters", () => {
  const { topics, topic } = topicsOfANode();
  topics.open(topic("t", true));
  const receive = (entry: readonly unknown[]): void => {
    const head = new EnvelopeHead({ topic: "t", i: 1, joined: [entry], left: [] });
    topics.received({ kind: EnvelopeKind.PRESENCE, from: { id: "b", epoch: "eb", link: 0 }, head, body: NO_BODY });
  };
  receive(["a".repeat(256), "b".repeat(256)]);
  const isMalformed = expect.objectContaining({ code: ErrorCode.MALFORMED_PAYLOAD });
  expect(() => receive(["a".repeat(257), null])).toThrow(isMalformed);
  expect(() => receive(["a", "b".repeat(257)])).toThrow(isMalformed);
});

test("a topic's messages are counted for the latest 1,000 runs of nodes", () => {
  const { topics, topic, missed } = topicsOfANode();
  topics.open(topic("t"));
  const runs = numbered(1001, (n) => `run${n}`);
  const receive = (run: string, number: number): void => {
    const head = new EnvelopeHead({ topic: "t", i: number });
    topics.received({ kind: EnvelopeKind.PUBLISH, from: { id: run, epoch: run, link: 0 }, head, body: BYTES });
  };
  for (const run of runs) receive(run, 1);
  // Start with the latest: each newly counted run replaces another.
  for (const run of [...runs].reverse()) receive(run, 3);
  expect(missed).toEqual(runs.slice(1).reverse());
});

test("the messages of 10,000 topics are numbered, and numbering restarts for topics above that", () => {
  const { topics, published } = topicsOfANode();
  const publish = (n: number): void => topics.publish(`topic ${n}`, new EncodedValue(BYTES), null);
  for (let n = 0; n <= 10_000; n += 1) publish(n);
  published.length = 0;
  for (const n of [1, 0]) publish(n);
  expect(published.map(({ i }) => i)).toEqual([2, 1]);
});

test("1,000 logs stay open for publishing; above that the least recently used closes", async () => {
  const { topics, closed, runtime } = topicsOfANode();
  const limits = { messages: 1, bytes: 1, ageMs: 1 };
  const names = numbered(1000, (n) => `topic ${n}`);
  for (const name of [...names, "topic 0", "one more"]) {
    await topics.durable.append(name, limits, "id", new EncodedValue(BYTES));
  }
  await runtime.settle();
  expect(closed).toEqual(["topic 1"]);
});

/** Creates requests from a node to another node that never answers. */
function questionsOfANode() {
  const runtime = fakeRuntime();
  const asked: unknown[] = [];
  const pages: number[] = [];
  const describe: LocalNode["describe"] = (_where, _after, limit) => {
    pages.push(limit);
    return [];
  };
  const other = { id: "b", epoch: "eb" } as Node;
  const questions = new NodeQuestions({
    local: { context: { runtime }, describe } as unknown as LocalNode,
    requests: new NodeRequests(new TimerWheel(runtime), () => runtime.now()),
    answerTimeoutMs: 100,
    nodeTimeoutMs: 1000,
    calls: {} as NodeCalls,
    nodeId: "a",
    meetingMs: 0,
    isAlone: false,
    nodes: () => new Map([[other.id, other]]),
    lost: () => [],
    publish: (_to, _kind, { params }) => {
      asked.push((params as Record<string, unknown>)["user"]);
      return "sent";
    },
  });
  return { runtime, questions, other, asked, pages };
}

test("a page for another node has at most 1,000 connections", async () => {
  const { questions, other, pages } = questionsOfANode();
  for (const limit of [10, 1001, undefined]) await questions.answerTo(other, "connections", { limit });
  expect(pages).toEqual([10, 1000, 1000]);
});

test("a node is sent 1,000 user changes at a heartbeat, and the rest at the next", async () => {
  const { runtime, questions, other, asked } = questionsOfANode();
  const users = numbered(1500, (n) => `user${n}`);
  for (const user of users) void questions.setUser(user, {} as VerifiedUser);
  await runtime.advance(200);
  asked.length = 0;
  questions.heartbeatReceived(other);
  expect(asked).toEqual(users.slice(0, 1000));
  questions.heartbeatReceived(other);
  expect(asked).toEqual(users);
});

test("a message that doesn't fit with its head is rejected before it is sent to any node", async () => {
  const all = clusterScene({ maxPayloadBytes: 5000 });
  const nodes = [await all.node("a"), await all.node("b")] as const;
  const [news] = nodes.map(({ server }) => server.topic<string>("news"));
  const heard: number[] = [];
  for (const node of nodes) {
    void collect((await node.join()).subscribe<string>("news"), heard);
  }
  await all.runtime.settle();
  news?.publish("x".repeat(3900));
  const failure = expect.objectContaining({ code: ErrorCode.MESSAGE_TOO_LARGE });
  expect(() => news?.publish("x".repeat(4900))).toThrow(failure);
  await all.runtime.settle();
  expect([heard, nodes[0].server.cluster?.stats.refused]).toEqual([[3900, 3900], 0]);
});

async function collect(texts: AsyncIterable<string>, lengths: number[]): Promise<void> {
  for await (const text of texts) lengths.push(text.length);
}
