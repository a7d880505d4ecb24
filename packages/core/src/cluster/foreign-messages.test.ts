import { expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { ADA, type ClusterScene, clusterScene } from "../test-support/cluster-scene.ts";
import { FrameWriter } from "../wire/frame-writer.ts";
import { PayloadReader } from "../wire/payload-reader.ts";
import type { ClusterAddress, ClusterLink } from "./driver.ts";
import { decodeEnvelope, EnvelopeKind, encodeEnvelope, type NodeIdentity } from "./envelope.ts";

const writer = new FrameWriter({ wallClock: () => 0, maxMessageBytes: 1_000_000, compress: null });
const reader = new PayloadReader(null, 1_000_000);
const ALL: ClusterAddress = { kind: "all", name: "" };
const STRANGER = { id: "x", epoch: "0123456789ab", link: 0 };

/** Returns a link that sends arbitrary bytes. */
function rawLink(all: ClusterScene): Promise<ClusterLink> {
  const ignore = (): void => undefined;
  const host = { nodeId: "x", clock: all.runtime, stateChanged: ignore, messagesLost: ignore };
  return all.cluster.driver().start(host);
}

function envelope(kind: EnvelopeKind, head: Record<string, unknown>, from: NodeIdentity = STRANGER): Uint8Array {
  return encodeEnvelope(writer, from, kind, head, new Uint8Array([1]));
}

async function scene() {
  const all = clusterScene();
  const a = await all.node("a");
  const link = await rawLink(all);
  const heard: unknown[] = [];
  (await a.join()).on("news", (data) => heard.push(data));
  const send = async (bytes: Uint8Array, to: ClusterAddress = ALL): Promise<void> => {
    link.publish(to, bytes);
    await all.runtime.settle();
  };
  return { all, a, heard, send, stats: () => a.server.cluster?.stats };
}

test("A message of another version or of an unknown kind is dropped and counted", async () => {
  const { heard, send, stats } = await scene();
  const good = envelope(EnvelopeKind.BROADCAST, { type: "news" });
  await send(good);
  expect(heard).toEqual([1]);
  await send(Uint8Array.from(good, (byte, index) => (index === 0 ? 2 : byte)));
  await send(Uint8Array.from(good, (byte, index) => (index === 1 ? 200 : byte)));
  expect([heard, stats()]).toMatchObject([[1], { unknown: 2, malformed: 0 }]);
});

test("An invalid user isn't set", async () => {
  const { all, a, send } = await scene();
  for (const [user, set] of [
    ["ada", null],
    ["ada", { password: "x" }],
    ["ada", { verifier: "x" }],
    [5, { password: "x" }],
  ]) {
    await send(envelope(EnvelopeKind.QUESTION, { id: 1, question: "set-user", params: { user, set } }));
  }
  await a.join(ADA);
  await expect(a.join({ username: "ada", password: "x" })).rejects.toThrow();
  await all.runtime.settle();
});

test("Messages about unknown streams are ignored, and malformed ones are counted", async () => {
  const { send, stats } = await scene();
  for (const is of ["item", "taken", "at", "end", "stop", "progress", "later"]) {
    await send(envelope(EnvelopeKind.STREAM, { id: 7, is, i: 1 }));
  }
  expect(stats()?.malformed).toBe(0);
  await send(envelope(EnvelopeKind.STREAM, { is: "item" }));
  expect(stats()?.malformed).toBe(1);
});

test("Unknown keys in a head are ignored", async () => {
  const { heard, send } = await scene();
  await send(envelope(EnvelopeKind.BROADCAST, { type: "news", later: { a: [1] } }));
  expect(heard).toEqual([1]);
});

test("Messages that are truncated or have fields of the wrong type are dropped and counted", async () => {
  const { a, heard, send, stats } = await scene();
  const good = envelope(EnvelopeKind.BROADCAST, { type: "news" });
  const bad = [
    new Uint8Array(0),
    good.subarray(0, 5),
    good.subarray(0, 12),
    Uint8Array.from(good, (byte, index) => (index === 2 ? 0xff : byte)),
    envelope(EnvelopeKind.BROADCAST, { type: 1 }),
    envelope(EnvelopeKind.BROADCAST, { type: "news", exclude: "me" }),
    envelope(EnvelopeKind.BROADCAST, { type: "news", where: { planet: "x" } }),
    envelope(EnvelopeKind.BROADCAST, { type: "news" }, { id: "a b", epoch: "1", link: 0 }),
    envelope(EnvelopeKind.HEARTBEAT, { at: -1, c: 0, i: 0 }),
    envelope(EnvelopeKind.ANSWER, { id: 1.5 }),
    envelope(EnvelopeKind.CANCEL, {}),
    envelope(EnvelopeKind.QUESTION, { id: 1, question: 2 }),
    envelope(EnvelopeKind.MESSAGE, { to: 1, what: "send", name: "x" }),
    envelope(EnvelopeKind.MESSAGE, { to: a.server.connections[0]?.id, what: "later", name: "news" }),
    envelope(EnvelopeKind.PRESENCE, { topic: 7 }),
    envelope(EnvelopeKind.PRESENCE_QUESTION, { topics: [1] }),
  ];
  for (const bytes of bad) await send(bytes);
  expect([heard, stats()]).toMatchObject([[], { malformed: bad.length, unknown: 0 }]);
});

test("Malformed calls and requests are answered with an error and have no effect", async () => {
  const { a, all, send, stats } = await scene();
  await send(envelope(EnvelopeKind.CALL, { id: 1, to: "nobody", what: "call", name: "x", ms: 10 }));
  await send(envelope(EnvelopeKind.CALL, { id: 2, to: 5 }));
  await send(envelope(EnvelopeKind.QUESTION, { id: 3, question: "what?" }));
  await send(envelope(EnvelopeKind.QUESTION, { id: 4, question: "count", params: { where: 1 } }));
  await send(envelope(EnvelopeKind.ANSWER, { id: 99 }));
  await all.runtime.settle();
  expect(stats()?.malformed).toBe(0);
  expect(await a.server.count()).toMatchObject({ count: 1 });
});

test("A call of an unknown kind is rejected with a code and doesn't reach a handler", async () => {
  const { a, all, heard } = await scene();
  const link = await rawLink(all);
  const answers: unknown[] = [];
  link.subscribe({ kind: "node", name: "x" }, (bytes) => {
    const envelope = decodeEnvelope(reader, bytes);
    if (typeof envelope !== "string") answers.push(envelope.head.raw("error"));
  });
  const head = { id: 1, to: a.server.connections[0]?.id, what: "later", name: "news", ms: 10 };
  link.publish(ALL, envelope(EnvelopeKind.CALL, head));
  await all.runtime.settle();
  expect([heard, answers]).toMatchObject([[], [{ code: ErrorCode.PEER_UNSUPPORTED }]]);
});

test("Late messages of a node's former run are dropped and counted", async () => {
  const { a, heard, send, stats } = await scene();
  const [former, present] = [STRANGER, { id: "x", epoch: "ba9876543210", link: 0 }];
  await send(envelope(EnvelopeKind.HEARTBEAT, { at: 1, c: 0, i: 1 }, former));
  await send(envelope(EnvelopeKind.HEARTBEAT, { at: 2, c: 0, i: 1 }, present));
  await send(envelope(EnvelopeKind.BROADCAST, { type: "news" }, former));
  await send(envelope(EnvelopeKind.HEARTBEAT, { at: 1, c: 0, i: 2 }, former));
  expect([heard, stats()?.stale]).toEqual([[], 1]);
  expect(a.server.cluster?.nodes.map(({ epoch }) => epoch)).toEqual([a.server.cluster?.epoch, present.epoch]);
  await send(envelope(EnvelopeKind.BROADCAST, { type: "news" }, present));
  expect(heard).toEqual([1]);
});

test.each([
  ["that never sent a heartbeat", []],
  ["that has already left", [{ at: 1, c: 0, i: 1 }]],
])("A call from a node %s is cancelled when the node sends nothing more", async (_what, heartbeats) => {
  const all = clusterScene({}, { heartbeatMs: 100, nodeTimeoutMs: 300 });
  const a = await all.node("a");
  const client = await a.join();
  const signals: AbortSignal[] = [];
  client.rpc("never", (_params, { signal }) => {
    signals.push(signal);
    return new Promise(() => undefined);
  });
  const link = await rawLink(all);
  for (const heartbeat of heartbeats) link.publish(ALL, envelope(EnvelopeKind.HEARTBEAT, heartbeat));
  await all.runtime.advance(1000);
  expect(a.server.cluster?.nodes).toHaveLength(1);
  const [to] = a.server.connections.map(({ id }) => id);
  const head = { id: 1, to, what: "call", name: "never", ms: 0 };
  // Its body is an empty map.
  link.publish(ALL, encodeEnvelope(writer, STRANGER, EnvelopeKind.CALL, head, new Uint8Array([0x80])));
  await all.runtime.advance(200);
  expect(signals.map(({ aborted }) => aborted)).toEqual([false]);
  await all.runtime.advance(300);
  expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
});
