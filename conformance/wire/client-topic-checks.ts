import assert from "node:assert/strict";
import type { RawPeer } from "../../packages/core/src/test-support/raw-peer.ts";
import { chunksOf, frame, type ReceivedFrame, Type } from "../../packages/core/src/testing/raw-frames.ts";
import { CHUNK } from "./both/chunks.ts";
import { GRANT } from "./both/credit.ts";
import { answerTo, type Check, frameOf, isAlive, Skipped } from "./check.ts";
import { AGREED, admit, newSession } from "./client-session-checks.ts";
import { type ClientUnderTest, loggedIn } from "./client-under-test.ts";

const SECTION = "Topics";
const START = 0x0130;
const DATA = 0x0131;
const END = 0x0133;
const TOPIC = "wire:topic";
const EPOCH = "9f86d081884c7d65.1";
const EXTENSIONS = { reply: true, close: true, cancel: true, call: true, topic: { subscriptions: 10 } };

/** Resolves with the client's next call. Skips the check if the client rejects the call that triggers it. */
async function callOf(peer: RawPeer, id: bigint, method: string, params: unknown): Promise<ReceivedFrame> {
  peer.call(method, params, id);
  for (;;) {
    const received = await frameOf(peer);
    if (received.type === Type.RPC_REQUEST) return received;
    if (received.id === id && received.payload?.["success"] === false) {
      throw new Skipped(`the client has no method '${method}'`);
    }
  }
}

/** Starts a client that calls `$topic.subscribe`. Returns it with the call's token. */
async function subscribing(
  client: ClientUnderTest,
): Promise<{ peer: RawPeer; request: ReceivedFrame; params: Readonly<Record<string, unknown>> }> {
  const { peer } = await loggedIn(client, EXTENSIONS);
  const request = await callOf(peer, 1n, "wire_subscribe", { topic: TOPIC });
  assert.equal(request.payload?.["method"], "$topic.subscribe");
  return { peer, request, params: (request.payload?.["params"] ?? {}) as Readonly<Record<string, unknown>> };
}

function answer(peer: RawPeer, { id }: ReceivedFrame): void {
  peer.send(Type.RPC_RESPONSE, { success: true, result: null }, { id });
}

function start(peer: RawPeer, number: bigint, token: unknown, offset = 0, epoch = EPOCH): void {
  const other = token === undefined ? {} : { token };
  peer.send(START, { topic: TOPIC, epoch, offset, presence: false, ...other }, { id: number });
}

function data(peer: RawPeer, number: bigint, value: unknown, offset?: number): void {
  peer.send(DATA, { data: value, ...(offset === undefined ? {} : { offset }) }, { id: number });
}

/** Starts a client that is subscribed to the topic with number 5, after offset 0. */
async function subscribed(client: ClientUnderTest): Promise<RawPeer> {
  const { peer, request, params } = await subscribing(client);
  start(peer, 5n, params["token"]);
  answer(peer, request);
  return peer;
}

/** Checks that the client program receives exactly these messages next. */
async function got(peer: RawPeer, ...expected: readonly unknown[]): Promise<void> {
  for (const value of expected) {
    const { payload } = await frameOf(peer, Type.MESSAGE);
    assert.deepEqual(payload, { type: "topic", data: value });
  }
}

/** Checks of a client that supports topics. */
export const clientTopicChecks: readonly Check<ClientUnderTest>[] = [
  {
    section: SECTION,
    sentence: "| `$topic.subscribe` | `{topic: str, token?: int, since?: str, presence?: bool}` | nil |",
    async run(client) {
      const { topic, token, since, presence } = (await subscribing(client)).params;
      assert.equal(topic, TOPIC);
      assert.ok(token === undefined || Number.isInteger(token), "token is not an integer");
      assert.equal(since, undefined, "A new subscription has a position");
      assert.ok(presence === undefined || typeof presence === "boolean", "presence is not a boolean");
    },
  },
  {
    section: SECTION,
    sentence: "| `$topic.unsubscribe` | `{topic: str}` | nil, also if it isn't subscribed |",
    async run(client) {
      const peer = await subscribed(client);
      const { payload } = await callOf(peer, 2n, "wire_unsubscribe", { topic: TOPIC });
      assert.deepEqual(payload?.["method"], "$topic.unsubscribe");
      assert.deepEqual(payload?.["params"], { topic: TOPIC });
    },
  },
  {
    section: SECTION,
    sentence: "| `$topic.publish` | `{topic: str, data: any}` | nil |",
    async run(client) {
      const { peer } = await loggedIn(client, EXTENSIONS);
      const request = await callOf(peer, 2n, "wire_publish", { topic: TOPIC, data: [1, null] });
      assert.equal(request.payload?.["method"], "$topic.publish");
      assert.deepEqual(request.payload?.["params"], { topic: TOPIC, data: [1, null] });
      answer(peer, request);
      assert.equal((await answerTo(peer, 2n)).payload?.["success"], true);
    },
  },
  {
    section: SECTION,
    sentence: "The result of the call may come before or after it.",
    async run(client) {
      for (const isBefore of [true, false]) {
        const { peer, request, params } = await subscribing(client);
        if (isBefore) answer(peer, request);
        start(peer, 5n, params["token"]);
        data(peer, 5n, "first", 1);
        if (!isBefore) answer(peer, request);
        await got(peer, "first");
      }
    },
  },
  {
    section: SECTION,
    sentence:
      "`token` is that of the call, so that a client that has unsubscribed and subscribed again can match them; without a token, the server has subscribed the client on its own initiative.",
    async run(client) {
      const { peer, request, params } = await subscribing(client);
      const { token } = params;
      if (token === undefined) throw new Skipped("the client sends no token");
      start(peer, 4n, Number(token) + 1);
      data(peer, 4n, "of another call", 1);
      start(peer, 5n, token);
      answer(peer, request);
      data(peer, 5n, "of this call", 1);
      await got(peer, "of this call");
    },
  },
  {
    section: SECTION,
    sentence:
      "Frames with a number that the client doesn't know are ignored: they may be on their way when it unsubscribes.",
    async run(client) {
      const peer = await subscribed(client);
      data(peer, 6n, "unknown", 1);
      data(peer, 0x1_0000_0005n, "another high half", 1);
      peer.send(END, { code: 0, reason: "unknown" }, { id: 6n });
      data(peer, 5n, "known", 1);
      await got(peer, "known");
      await callOf(peer, 2n, "wire_unsubscribe", { topic: TOPIC });
      data(peer, 5n, "on its way", 2);
      const before = await isAlive(peer);
      assert.ok(!before.some(({ payload }) => payload?.["type"] === "topic"), "The program got what came too late");
    },
  },
  {
    section: SECTION,
    sentence: "When another `TOPIC_START` with the same number arrives, the subscription restarts.",
    async run(client) {
      const { peer, request, params } = await subscribing(client);
      start(peer, 5n, params["token"], 40);
      answer(peer, request);
      data(peer, 5n, "a", 41);
      start(peer, 5n, params["token"], 0, "another.1");
      data(peer, 5n, "b", 1);
      await got(peer, "a", "b");
    },
  },
  {
    section: SECTION,
    sentence: "A client ignores messages that it has already, by their offsets.",
    async run(client) {
      const peer = await subscribed(client);
      for (const [text, offset] of [
        ["a", 1],
        ["b", 2],
        ["a", 1],
        ["b", 2],
        ["c", 3],
      ] as const) {
        data(peer, 5n, text, offset);
      }
      await got(peer, "a", "b", "c");
    },
  },
  {
    section: SECTION,
    sentence: "Where they don't, the server has left out messages, because the client read too slowly.",
    async run(client) {
      const peer = await subscribed(client);
      data(peer, 5n, "a", 1);
      data(peer, 5n, "b", 1000);
      await got(peer, "a", "b");
    },
  },
  {
    section: SECTION,
    sentence:
      "A message without an offset was sent to some subscribers only: it has no place in the topic, and isn't sent again.",
    async run(client) {
      const peer = await subscribed(client);
      data(peer, 5n, "a", 1);
      data(peer, 5n, "for some");
      data(peer, 5n, "b", 2);
      await got(peer, "a", "for some", "b");
    },
  },
  {
    section: SECTION,
    sentence: "**TOPIC_END** ends the subscription: `{code, reason}`.",
    async run(client) {
      const peer = await subscribed(client);
      data(peer, 5n, "last", 1);
      peer.send(END, { code: 5010, reason: "The topic has ended" }, { id: 5n });
      await got(peer, "last");
      assert.equal((await frameOf(peer, Type.MESSAGE)).payload?.["type"], "topic_end");
      await isAlive(peer);
    },
  },
  {
    section: SECTION,
    sentence:
      "The server's parameters say in `subscriptions` (int) how many topics a connection may be subscribed to; a client has none.",
    async run(client) {
      const { theirs } = await loggedIn(client, EXTENSIONS);
      assert.equal((theirs["topic"] as { subscriptions?: unknown }).subscriptions, undefined);
    },
  },
  {
    section: SECTION,
    sentence:
      "They are sent in the order of the topic, need credit as messages do, and may come in chunks, keeping their place; then credit counts when the frame is complete.",
    async run(client) {
      const { peer, theirs } = await loggedIn(client, { ...EXTENSIONS, credit: GRANT, chunk: CHUNK });
      const request = await callOf(peer, 1n, "wire_subscribe", { topic: TOPIC });
      start(peer, 5n, (request.payload?.["params"] as { token?: unknown } | undefined)?.token);
      answer(peer, request);
      const { frames } = theirs["credit"] as { readonly frames: number };
      const text = "x".repeat(100_000);
      peer.write(...chunksOf(frame(DATA, { offset: 1, data: text.length }, { id: 5n }), 1n, 20));
      // Credit for the granted number is returned in halves.
      const count = Math.min(frames, 2000);
      for (let n = 2; n <= count; n += 1) data(peer, 5n, n, n);
      await frameOf(peer, Type.CREDIT);
      const items = peer.frames.all.filter(
        ({ type, payload }) => type === Type.MESSAGE && payload?.["type"] === "topic",
      );
      assert.equal(items[0]?.payload?.["data"], text.length, "The message in chunks lost its place");
    },
  },
  {
    section: SECTION,
    sentence: "A client that reconnects sends that of the last message it received as `since`.",
    async run(client) {
      const session = await newSession(client, EXTENSIONS);
      await frameOf(session.peer, Type.RPC_REQUEST);
      const request = await callOf(session.peer, 1n, "wire_subscribe", { topic: TOPIC });
      start(session.peer, 5n, (request.payload?.["params"] as { token?: unknown } | undefined)?.token, 40);
      answer(session.peer, request);
      for (const n of [41, 42]) data(session.peer, 5n, n, n);
      await got(session.peer, 41, 42);
      session.peer.reset();
      const { peer } = await admit(await client.nextConnection(), {
        session_token: "e".repeat(64),
        expired: {},
        extensions: { ...AGREED, ...EXTENSIONS },
      });
      for (;;) {
        const { payload } = await frameOf(peer, Type.RPC_REQUEST);
        if (payload?.["method"] !== "$topic.subscribe") continue;
        const { topic, since } = payload["params"] as Readonly<Record<string, unknown>>;
        assert.deepEqual([topic, since], [TOPIC, `${EPOCH}:42`]);
        break;
      }
    },
  },
];
