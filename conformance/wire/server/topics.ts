import assert from "node:assert/strict";
import type { RawPeer } from "../../../packages/core/src/test-support/raw-peer.ts";
import { Type } from "../../../packages/core/src/testing/raw-frames.ts";
import { answerTo, type Check, frameOf, isAlive, isClosedWith, Skipped } from "../check.ts";
import type { ServerUnderTest } from "../server-under-test.ts";

const SECTION = "Topics";
const START = 0x0130;
const DATA = 0x0131;
const PRESENCE = 0x0132;
/** Without credit, so that the server may send without limit. */
const OFFER = ["reply", "close", "cancel", "call", "topic"];

let lastId = 0n;
/** Number of topics created. Each check uses new topics, so that their history is empty. */
let lastTopic = 0;

function newTopic(): string {
  lastTopic += 1;
  return `wire:${Date.now()}-${lastTopic}`;
}

/** Calls a method and returns the answer's payload. */
async function ask(peer: RawPeer, method: string, params: unknown): Promise<Readonly<Record<string, unknown>>> {
  lastId += 1n;
  peer.call(method, params, lastId);
  return (await answerTo(peer, lastId)).payload ?? {};
}

/** Calls a method that is rejected and returns the error code. */
async function refusal(peer: RawPeer, method: string, params: unknown): Promise<unknown> {
  const { success, code } = await ask(peer, method, params);
  assert.equal(success, false, `${method} was not refused`);
  return code;
}

interface Start {
  readonly number: bigint;
  readonly topic: unknown;
  readonly epoch: string;
  readonly offset: number;
  readonly token: unknown;
  readonly lost: unknown;
}

async function subscribe(peer: RawPeer, params: Readonly<Record<string, unknown>>): Promise<Start> {
  lastId += 1n;
  peer.call("$topic.subscribe", params, lastId);
  for (;;) {
    const { id, payload } = await frameOf(peer, START);
    const { topic, epoch, offset, token, lost } = payload ?? {};
    // The start of an earlier call may arrive after its answer.
    if (topic === params["topic"])
      return { number: id, topic, epoch: String(epoch), offset: Number(offset), token, lost };
  }
}

/** Logs in a raw client at a server with the topics used by the checks. */
async function login(server: ServerUnderTest): Promise<RawPeer> {
  await server.needsExtension("topic");
  const peer = await server.login(OFFER);
  const { success } = await ask(peer, "$topic.subscribe", { topic: newTopic() });
  if (success === false) throw new Skipped("the server has no topics that fit wire:*");
  return peer;
}

/** Publishes without waiting for answers, which may arrive before or after the messages. */
function publish(peer: RawPeer, topic: string, ...all: readonly unknown[]): void {
  for (const data of all) {
    lastId += 1n;
    peer.call("$topic.publish", { topic, data }, lastId);
  }
}

/** Resolves with the next `count` messages, each with its offset and topic number. */
async function received(peer: RawPeer, count: number): Promise<readonly (readonly [bigint, unknown, unknown])[]> {
  const messages: (readonly [bigint, unknown, unknown])[] = [];
  while (messages.length < count) {
    const { id, payload } = await frameOf(peer, DATA);
    messages.push([id, payload?.["offset"], payload?.["data"]]);
  }
  return messages;
}

interface Presence {
  readonly reset: boolean;
  readonly joined: readonly (readonly [id: string, user: string | null])[];
  readonly left: readonly string[];
}

/** Resolves with the topic's next TOPIC_PRESENCE. Skips the check if the server's topics have no presence. */
async function presenceOf(peer: RawPeer, number: bigint): Promise<Presence> {
  const started = peer.frames.all.find(({ type, id }) => type === START && id === number);
  if (started?.payload?.["presence"] === false) throw new Skipped("the topics wire:* have no presence");
  for (;;) {
    const { id, payload } = await frameOf(peer, PRESENCE);
    if (id === number) return payload as unknown as Presence;
  }
}

export const topicChecks: readonly Check<ServerUnderTest>[] = [
  {
    section: SECTION,
    sentence:
      "An unknown topic is answered with `NOT_FOUND` (4010), one that the client may not subscribe or publish to with `PERMISSION_DENIED` (3002), and a subscription beyond the limit with `TOO_MANY_SUBSCRIPTIONS` (6012).",
    async run(server) {
      const peer = await login(server);
      assert.equal(await refusal(peer, "$topic.subscribe", { topic: "no such topic" }), 4010);
      assert.equal(await refusal(peer, "$topic.publish", { topic: newTopic(), data: 1 }), 3002);
    },
  },
  {
    section: SECTION,
    sentence: "A client without the extension is answered with `PEER_UNSUPPORTED` (4012).",
    async run(server) {
      await login(server);
      const peer = await server.login(["reply"]);
      assert.equal(await refusal(peer, "$topic.subscribe", { topic: newTopic() }), 4012);
    },
  },
  {
    section: SECTION,
    sentence: "| `$topic.unsubscribe` | `{topic: str}` | nil, also if it isn't subscribed |",
    async run(server) {
      const peer = await login(server);
      const topic = newTopic();
      await subscribe(peer, { topic });
      for (let times = 0; times < 2; times += 1) {
        assert.deepEqual(await ask(peer, "$topic.unsubscribe", { topic }), { success: true, result: null });
      }
      assert.equal(await refusal(peer, "$topic.publish", { topic, data: 1 }), 3002);
    },
  },
  {
    section: SECTION,
    sentence:
      "Their correlation id is the topic's number, which the server chooses and which is the same for all connections, so that it encodes a publish once.",
    async run(server) {
      const [first, second] = [await login(server), await login(server)];
      const topic = newTopic();
      const { number } = await subscribe(first, { topic });
      assert.equal((await subscribe(second, { topic })).number, number);
      publish(first, topic, "to both");
      for (const peer of [first, second]) assert.deepEqual(await received(peer, 1), [[number, 1, "to both"]]);
      assert.notEqual((await subscribe(first, { topic: newTopic() })).number, number);
    },
  },
  {
    section: SECTION,
    sentence: "The first message that follows has the offset `offset + 1`.",
    async run(server) {
      const peer = await login(server);
      const topic = newTopic();
      const { number, offset } = await subscribe(peer, { topic });
      publish(peer, topic, 1);
      assert.deepEqual(await received(peer, 1), [[number, offset + 1, 1]]);
    },
  },
  {
    section: SECTION,
    sentence:
      "`token` is that of the call, so that a client that has unsubscribed and subscribed again can match them; without a token, the server has subscribed the client on its own initiative.",
    async run(server) {
      const peer = await login(server);
      for (const token of [7, 1234567890123]) {
        assert.equal((await subscribe(peer, { topic: newTopic(), token })).token, token);
      }
    },
  },
  {
    section: SECTION,
    sentence: "Offsets grow by 1.",
    async run(server) {
      const peer = await login(server);
      const topic = newTopic();
      const { offset } = await subscribe(peer, { topic });
      publish(peer, topic, "a", "b", "c");
      const messages = await received(peer, 3);
      assert.deepEqual(
        messages.map(([, at, data]) => [at, data]),
        [
          [offset + 1, "a"],
          [offset + 2, "b"],
          [offset + 3, "c"],
        ],
      );
    },
  },
  {
    section: SECTION,
    sentence: "A client that sends one of them is disconnected with `UNEXPECTED_FRAME`.",
    async run(server) {
      const peer = await login(server);
      peer.send(DATA, { offset: 1, data: 1 }, { id: 1n });
      await isClosedWith(peer, 7014);
    },
  },
  {
    section: SECTION,
    sentence: "If the server has all messages after it, `TOPIC_START` has the same epoch and offset, and they follow.",
    async run(server) {
      const peer = await login(server);
      const topic = newTopic();
      const { number, epoch, offset } = await subscribe(peer, { topic });
      publish(peer, topic, 1, 2, 3);
      await received(peer, 3);
      const since = `${epoch}:${offset + 1}`;
      const again = await subscribe(peer, { topic, since });
      assert.deepEqual([again.epoch, again.offset], [epoch, offset + 1]);
      assert.deepEqual(await received(peer, 2), [
        [number, offset + 2, 2],
        [number, offset + 3, 3],
      ]);
    },
  },
  {
    section: SECTION,
    sentence:
      "Otherwise its epoch or offset differs, and the client has missed messages: as many as the offsets differ by, or an unknown number if the epochs do.",
    async run(server) {
      const peer = await login(server);
      const topic = newTopic();
      await subscribe(peer, { topic });
      for (const since of ["another epoch:0", "no position", ":", "x:-1", `${"9".repeat(400)}:1`]) {
        const { epoch } = await subscribe(peer, { topic, since });
        assert.notEqual(epoch, since.slice(0, since.lastIndexOf(":")));
      }
      await isAlive(peer);
    },
  },
  {
    section: SECTION,
    sentence:
      "If the epoch is the same, but the topic ends before `since`, because it has lost messages, `TOPIC_START` has `lost` (bool) true: the client has missed an unknown number of messages, and discards its position, so that it doesn't ignore new messages with offsets that it has seen.",
    async run(server) {
      const peer = await login(server);
      const topic = newTopic();
      const { epoch, offset } = await subscribe(peer, { topic });
      for (const [ahead, lost] of [
        [0, undefined],
        [1, true],
        [1_000_000, true],
      ] as const) {
        const again = await subscribe(peer, { topic, since: `${epoch}:${offset + ahead}` });
        assert.deepEqual([again.epoch, again.offset, again.lost], [epoch, offset, lost]);
      }
    },
  },
  {
    section: SECTION,
    sentence: "Subscriptions end with the connection.",
    async run(server) {
      const [first, second] = [await login(server), await login(server)];
      const topic = newTopic();
      await subscribe(first, { topic });
      first.send(Type.CLOSE, { reason: "bye" });
      await first.over;
      // Publishing requires a subscription on the same connection.
      assert.equal(await refusal(second, "$topic.publish", { topic, data: 1 }), 3002);
    },
  },
  {
    section: SECTION,
    sentence:
      "The server's parameters say in `subscriptions` (int) how many topics a connection may be subscribed to; a client has none.",
    options: { maxSubscriptions: 5 },
    async run(server) {
      await login(server);
      const extensions = { reply: true, close: true, call: true, topic: true };
      const [peer, { subscriptions }] = await server.loginAs<{ subscriptions: number }>(extensions, "topic");
      assert.ok(Number.isSafeInteger(subscriptions) && subscriptions >= 1, `subscriptions is ${subscriptions}`);
      if (subscriptions > 2000) throw new Skipped(`the server allows ${subscriptions} subscriptions`);
      for (let count = 0; count < subscriptions; count += 1) await subscribe(peer, { topic: newTopic() });
      assert.equal(await refusal(peer, "$topic.subscribe", { topic: newTopic() }), 6012);
    },
  },
  {
    section: SECTION,
    sentence: "A client may call `$topic.subscribe` again for a topic that it is subscribed to, with another `since`.",
    async run(server) {
      const peer = await login(server);
      const topic = newTopic();
      const first = await subscribe(peer, { topic });
      const second = await subscribe(peer, { topic });
      assert.equal(second.number, first.number);
      publish(peer, topic, "once");
      assert.deepEqual(await received(peer, 1), [[first.number, second.offset + 1, "once"]]);
      const before = await isAlive(peer);
      assert.ok(!before.some(({ type }) => type === DATA), "It is subscribed twice");
    },
  },
  {
    section: SECTION,
    sentence: "With `reset`, `joined` begins a new list, and later frames may continue it.",
    async run(server) {
      const [first, second] = [await login(server), await login(server)];
      const topic = newTopic();
      const { number } = await subscribe(first, { topic });
      const all = await presenceOf(first, number);
      assert.deepEqual([all.reset, all.joined.length, all.left], [true, 1, []]);
      await subscribe(second, { topic, presence: false });
      const joined = await presenceOf(first, number);
      assert.deepEqual([joined.reset, joined.joined.length, joined.left], [false, 1, []]);
      const [id, user] = joined.joined[0] ?? [];
      assert.notEqual(id, all.joined[0]?.[0]);
      assert.ok(user === null || typeof user === "string", "The user is neither text nor nil");
      second.send(Type.CLOSE, { reason: "bye" });
      assert.deepEqual(await presenceOf(first, number), { reset: false, joined: [], left: [id] });
      const told = second.frames.all.filter((one) => one.type === PRESENCE && one.id === number);
      assert.deepEqual(told, [], "It was told of others against its wish");
    },
  },
  {
    section: SECTION,
    sentence: "A server never sends a part of what was missed as if it were all.",
    async run(server) {
      const peer = await login(server);
      const topic = newTopic();
      const { number, epoch, offset } = await subscribe(peer, { topic });
      const count = 300;
      publish(peer, topic, ...Array.from({ length: count }, (_, index) => index + 1));
      await received(peer, count);
      const again = await subscribe(peer, { topic, since: `${epoch}:${offset}` });
      // Either the server reports missing messages, or it sends all.
      const missed = again.epoch === epoch ? again.offset - offset : count;
      assert.ok(missed >= 0 && missed <= count, `The offset is ${again.offset}`);
      const expected = Array.from({ length: count - missed }, (_, index) => missed + index + 1);
      const messages = await received(peer, expected.length);
      assert.deepEqual(
        messages,
        expected.map((n) => [number, offset + n, n]),
      );
    },
  },
];
