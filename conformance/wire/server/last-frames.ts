/** Checks of what a server still sends when it closes a connection because of an expired token or an invalid frame. */
import assert from "node:assert/strict";
import type { RawPeer } from "../../../packages/core/src/test-support/raw-peer.ts";
import { call, frame, Type, typeName } from "../../../packages/core/src/testing/raw-frames.ts";
import { GRANT } from "../both/credit.ts";
import { freshKey } from "../both/once.ts";
import { answerTo, type Check, frameOf, isAlive, Skipped } from "../check.ts";
import type { ServerUnderTest } from "../server-under-test.ts";
import { withToken } from "./tokens.ts";

/** Long enough to publish on a busy machine. */
const TOKEN_MS = 1500;
const MESSAGES = 6;
const EXTENSIONS = { reply: true, close: true, call: true, topic: true, credit: { frames: 3, bytes: 1_000_000 } };

/** A client with topic messages waiting for credit until its token expires. */
async function waiting(server: ServerUnderTest): Promise<RawPeer> {
  await server.needsExtension("topic");
  const { peer } = await withToken(server, `wire:${TOKEN_MS}`, EXTENSIONS);
  const topic = `wire:${freshKey()}`;
  peer.call("$topic.subscribe", { topic }, 1n);
  if ((await answerTo(peer, 1n)).payload?.["success"] === false) throw new Skipped("the server has no topics");
  for (let n = 1; n <= MESSAGES; n += 1) peer.call("$topic.publish", { topic, data: n }, BigInt(n + 1));
  await answerTo(peer, BigInt(MESSAGES + 1));
  return peer;
}

/** Resolves when the token has expired: waits for a token of the same lifetime that was sent later. */
async function expired(server: ServerUnderTest): Promise<void> {
  const { peer } = await withToken(server, `wire:${TOKEN_MS}`, { close: true });
  await frameOf(peer, Type.CLOSE);
}

function messagesOf(peer: RawPeer): unknown[] {
  return peer.frames.all.filter(({ type }) => type === Type.TOPIC_DATA).map(({ payload }) => payload?.["data"]);
}

export const lastFrameChecks: readonly Check<ServerUnderTest>[] = [
  {
    section: "Closing",
    sentence:
      "Messages that wait for credit, or leave in chunks, are sent first, as the peer returns credit and acknowledges chunks; requests whose callers were told that the connection closes are withdrawn.",
    async run(server) {
      const peer = await waiting(server);
      await expired(server);
      assert.ok(!peer.frames.all.some(({ type }) => type === Type.CLOSE), "It closed while messages waited");
      peer.send(Type.CREDIT, GRANT);
      const { payload } = await frameOf(peer, Type.CLOSE);
      assert.equal(payload?.["code"], 3016);
      assert.deepEqual(messagesOf(peer), [1, 2, 3, 4, 5, 6]);
    },
  },
  {
    section: "Closing",
    sentence:
      "During this, the side handles no messages and requests, but returns their credit, which the other side may need to close, too:",
    async run(server) {
      const peer = await waiting(server);
      await expired(server);
      const before = peer.frames.all.length;
      // The server may accumulate up to half of the grant before returning it.
      peer.write(...Array.from({ length: 900 }, (_, index) => call(1000 + index, "echo", { late: true })));
      await frameOf(peer, Type.CREDIT);
      peer.send(Type.CREDIT, GRANT);
      await frameOf(peer, Type.CLOSE);
      const answers: readonly number[] = [Type.RPC_RESPONSE, Type.RPC_ERROR];
      const answered = peer.frames.all.slice(before).filter(({ type }) => answers.includes(type));
      assert.deepEqual(answered.map(typeName), [], "It handled requests while it closed");
    },
  },
  {
    section: "Closing",
    sentence: "All its other requests without an answer were never started, and may be sent again elsewhere.",
    async run(server) {
      const key = freshKey();
      await (await server.loginFor("wire_slow")).dispose();
      const peer = await waiting(server);
      await expired(server);
      peer.write(call(1000n, "wire_slow", { key, ms: 0 }));
      peer.send(Type.CREDIT, GRANT);
      const { started = [] } = ((await frameOf(peer, Type.CLOSE)).payload ?? {}) as { started?: readonly number[] };
      assert.ok(!started.includes(1000), "The request is listed as started");
      const { payload } = await server.callOn(await server.login(), "wire_slow", { key, ms: 0 }, 1n);
      assert.deepEqual(payload?.["result"], { runs: 1 });
    },
  },
  {
    section: "Fatal errors",
    sentence: "Nothing more is read from it, so messages for it that wait for credit, or leave in chunks, are dropped.",
    async run(server) {
      const peer = await waiting(server);
      peer.write(frame(0x7000), frame(Type.CREDIT, GRANT));
      const { payload } = await frameOf(peer, Type.CLOSE);
      assert.equal(payload?.["code"], 7002);
      await peer.over;
      assert.ok(messagesOf(peer).length < MESSAGES, "It read the credit behind the wrong frame");
    },
  },
  {
    section: "Topics",
    sentence:
      "They are sent in the order of the topic, need credit as messages do, and may come in chunks, keeping their place; then credit counts when the frame is complete.",
    async run(server) {
      const peer = await waiting(server);
      await isAlive(peer);
      const frames = peer.frames.all.filter(({ type }) => type === Type.TOPIC_START || type === Type.TOPIC_DATA);
      assert.equal(frames.length, EXTENSIONS.credit.frames, "It sent more than it had credit for, or less");
      peer.send(Type.CREDIT, GRANT);
      while (messagesOf(peer).length < MESSAGES) await frameOf(peer, Type.TOPIC_DATA);
      assert.deepEqual(messagesOf(peer), [1, 2, 3, 4, 5, 6]);
    },
  },
  {
    section: "Closing",
    sentence: "If the connection isn't closed after 5 seconds (by default), it is aborted.",
    options: { closeTimeoutMs: 300 },
    patienceMs: 30_000,
    async run(server) {
      const peer = await waiting(server);
      await expired(server);
      // No credit arrives.
      await peer.over;
      assert.ok(messagesOf(peer).length < MESSAGES, "It sent messages without credit");
    },
  },
];
