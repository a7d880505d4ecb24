import { expect, test } from "vitest";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { TimerWheel } from "../util/timer-wheel.ts";
import type { PresenceEntry } from "./cluster-presence.ts";
import { type ClusterTopic, ClusterTopics } from "./cluster-topics.ts";
import type { ClusterAddress } from "./driver.ts";
import { DurableTopics } from "./durable-topics.ts";
import { EnvelopeHead, EnvelopeKind, NO_BODY } from "./envelope.ts";

const A = {
  id: "a",
  epoch: "ea",
  startedAt: 1,
  connections: 0,
  lastHeardAtMs: 0,
  sequence: 1,
  formerBeatAtMs: 0,
  beatAtMs: 0,
  link: 0,
};
const B = { ...A, id: "b", epoch: "eb" };

interface Sent {
  readonly to: ClusterAddress;
  readonly kind: EnvelopeKind;
  readonly head: Readonly<Record<string, unknown>>;
}

/** Creates a node's topics with recorded messages, and a topic with presence. */
function scene(own: readonly PresenceEntry[] = []) {
  const runtime = fakeRuntime();
  const sent: Sent[] = [];
  const missed: number[] = [];
  const others = new Set<string>();
  let interruptions = 0;
  const topics = new ClusterTopics(
    {
      wheel: new TimerWheel(runtime),
      subscribe: () => null,
      publish: (to, kind, head) => {
        sent.push({ to, kind, head });
        return "sent";
      },
      mustFit: () => undefined,
      heartbeatMs: 1000,
      now: () => runtime.now(),
      epoch: () => A.epoch,
      node: (id) => [A, B].find((node) => node.id === id),
      missed: (_topic, _node, count) => missed.push(count),
    },
    new DurableTopics({
      wheel: new TimerWheel(runtime),
      now: () => runtime.now(),
      answerTimeoutMs: 1,
      link: () => null,
      encode: (body) => body,
      decode: () => null,
      cannotRead: () => undefined,
      entryFailed: () => undefined,
    }),
  );
  const topic: ClusterTopic = {
    name: "t",
    hasPresence: true,
    ownPresence: () => own,
    deliver: () => undefined,
    interrupted: () => {
      interruptions += 1;
    },
    othersChanged: (_epoch, joined, left, isAll) => {
      if (isAll) others.clear();
      for (const [id] of joined) others.add(id);
      for (const id of left) others.delete(id);
    },
    othersLeft: () => others.clear(),
  };
  topics.open(topic);
  sent.length = 0;
  const receive = (kind: EnvelopeKind, head: Record<string, unknown>, from = B): void =>
    topics.received({ kind, from, head: new EnvelopeHead(head), body: NO_BODY });
  return { runtime, topics, topic, sent, missed, others, receive, interruptions: () => interruptions };
}

test("Presence with more members than fit in one message arrives completely", () => {
  const people = Array.from({ length: 1200 }, (_, n): PresenceEntry => [`id${n}`, null]);
  const [here, there] = [scene(people), scene()];
  here.receive(EnvelopeKind.PRESENCE_QUESTION, { topics: ["t"] });
  expect(here.sent.map(({ to, head }) => [to.name, (head["joined"] as unknown[]).length])).toEqual([
    ["b", 500],
    ["b", 500],
    ["b", 200],
  ]);
  for (const { kind, head } of here.sent) there.receive(kind, head);
  expect(there.others.size).toBe(1200);
});

/** Returns the three messages of a node's snapshot with 1,200 members. */
function answerInParts() {
  const here = scene(Array.from({ length: 1200 }, (_, n): PresenceEntry => [`id${n}`, null]));
  here.receive(EnvelopeKind.PRESENCE_QUESTION, { topics: ["t"] });
  return here.sent.map(({ kind, head }) => ({ kind, head }));
}

const QUESTION = { to: { kind: "node", name: "b" }, kind: EnvelopeKind.PRESENCE_QUESTION, head: { topics: ["t"] } };

test.each([0, 1, 2])(
  "The loss of part %d of a snapshot is detected, and the request is repeated at each heartbeat",
  (lost) => {
    const parts = answerInParts();
    const { topics, sent, others, receive } = scene();
    topics.presence.nodeJoined(B);
    sent.length = 0;
    for (const { kind, head } of parts.filter((_, index) => index !== lost)) receive(kind, head);
    expect(sent).toEqual([]);
    topics.presence.heartbeatReceived(B);
    topics.presence.heartbeatReceived(B);
    expect(sent).toEqual([QUESTION, QUESTION]);
    for (const { kind, head } of parts) receive(kind, head);
    expect(others.size).toBe(1200);
    topics.presence.heartbeatReceived(B);
    expect(sent).toHaveLength(2);
  },
);

test("The loss of a part of a presence change is detected with its next part", () => {
  const { sent, receive } = scene();
  const part = (index: number): Record<string, unknown> => ({
    topic: "t",
    i: 1,
    part: index,
    parts: 3,
    joined: [],
    left: [],
  });
  receive(EnvelopeKind.PRESENCE, part(0));
  receive(EnvelopeKind.PRESENCE, part(2));
  expect(sent).toEqual([QUESTION]);
});

test("The loss of the last part of a presence change is detected with the position before the next heartbeat", () => {
  const { sent, receive } = scene();
  receive(EnvelopeKind.PRESENCE, { topic: "t", i: 1, part: 0, parts: 2, joined: [], left: [] });
  receive(EnvelopeKind.POSITION, { topic: "t", i: 0, count: 0, beat: 1, change: 1 });
  expect(sent).toEqual([QUESTION]);
});

test("A presence change that doesn't follow the previous one makes the node request a snapshot", () => {
  const { sent, others, receive } = scene();
  receive(EnvelopeKind.PRESENCE, { topic: "t", i: 1, joined: [["x", null]], left: [] });
  receive(EnvelopeKind.PRESENCE, { topic: "t", i: 3, joined: [["z", null]], left: [] });
  expect([...others]).toEqual(["x"]);
  expect(sent).toEqual([
    { to: { kind: "node", name: "b" }, kind: EnvelopeKind.PRESENCE_QUESTION, head: { topics: ["t"] } },
  ]);
  receive(EnvelopeKind.PRESENCE, {
    topic: "t",
    i: 3,
    all: true,
    joined: [
      ["x", null],
      ["y", null],
      ["z", null],
    ],
    left: [],
  });
  expect([...others]).toEqual(["x", "y", "z"]);
});

test("Presence of an unknown run is ignored", () => {
  const { others, receive } = scene();
  receive(EnvelopeKind.PRESENCE, { topic: "t", i: 1, joined: [["x", null]], left: [] }, { ...B, epoch: "old" });
  expect(others.size).toBe(0);
});

test("Presence changes are combined, and a member that joined and left in between is sent as having left", async () => {
  const { runtime, topics, topic, sent } = scene();
  topics.presence.changed(topic, "x", ["x", null]);
  topics.presence.changed(topic, "y", ["y", "ada"]);
  topics.presence.changed(topic, "x", null);
  expect(sent).toEqual([]);
  await runtime.advance(200);
  expect(sent.map(({ head }) => head)).toEqual([{ topic: "t", i: 1, joined: [["y", "ada"]], left: ["x"] }]);
  topics.close(topic);
});

test("Messages are counted per publisher, and a publisher that restarts isn't a gap", () => {
  const { receive, missed, interruptions } = scene();
  const publish = (i: number, from = B): void => receive(EnvelopeKind.PUBLISH, { topic: "t", i }, from);
  for (const i of [5, 6, 7]) publish(i);
  publish(1, A);
  publish(1);
  publish(2);
  expect([missed, interruptions()]).toEqual([[], 0]);
  publish(5);
  publish(2, A);
  expect([missed, interruptions()]).toEqual([[2], 1]);
});

test("Subscribers are notified once of an outage in which several nodes' messages were missed", async () => {
  const { runtime, topics, interruptions } = scene();
  const heardAtMs = runtime.now();
  await runtime.advance(5000);
  topics.missedFrom(A, heardAtMs);
  await runtime.advance(100);
  topics.missedFrom(B, heardAtMs);
  expect(interruptions()).toBe(1);
});

test("Subscribers are notified again of a loss from a node that has sent messages since the last notification", async () => {
  const { runtime, topics, interruptions } = scene();
  topics.missedFrom(A, runtime.now() - 5000);
  const heardAtMs = runtime.now();
  await runtime.advance(5000);
  topics.missedFrom(B, heardAtMs);
  expect(interruptions()).toBe(2);
});

test("The request for a topic's members is repeated once, after the second heartbeat, with what is already known", () => {
  const { topics, sent, receive } = scene();
  const C = { ...A, id: "c", epoch: "ec" };
  topics.publishPositions(1);
  expect(sent).toEqual([]);
  receive(EnvelopeKind.PRESENCE, { topic: "t", i: 4, joined: [["x", null]], all: true });
  // From an unknown run, and with half of a list.
  receive(EnvelopeKind.PRESENCE, { topic: "t", i: 2, joined: [], all: true }, C);
  receive(EnvelopeKind.PRESENCE, { topic: "t", i: 3, joined: [["y", null]], all: true, part: 0, parts: 2 }, A);
  topics.publishPositions(2);
  expect(sent).toEqual([
    {
      to: { kind: "topic", name: "t" },
      kind: EnvelopeKind.PRESENCE_QUESTION,
      head: { topics: ["t"], known: { eb: 4 } },
    },
  ]);
  topics.publishPositions(3);
  expect(sent).toHaveLength(1);
});

test("The request isn't repeated for a topic that is no longer received", () => {
  const { topics, topic, sent } = scene();
  topics.publishPositions(1);
  topics.close(topic);
  topics.publishPositions(2);
  expect(sent).toEqual([]);
});

test("A node answers a repeated request only if the other node doesn't have its latest change", () => {
  const { sent, receive } = scene([["x", null]]);
  receive(EnvelopeKind.PRESENCE_QUESTION, { topics: ["t"], known: { ea: 0, eb: 7 } });
  expect(sent).toEqual([]);
  receive(EnvelopeKind.PRESENCE_QUESTION, { topics: ["t"], known: { eb: 7 } });
  receive(EnvelopeKind.PRESENCE_QUESTION, { topics: ["t"], known: { ea: 1 } }, { ...B, id: "c", epoch: "ec" });
  expect(sent.map(({ kind, to }) => [kind, to])).toEqual([
    [EnvelopeKind.PRESENCE, { kind: "node", name: "b" }],
    [EnvelopeKind.PRESENCE, { kind: "node", name: "c" }],
  ]);
});
