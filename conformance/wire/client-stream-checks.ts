import assert from "node:assert/strict";
import { decodeMulti } from "@msgpack/msgpack";
import type { RawPeer } from "../../packages/core/src/test-support/raw-peer.ts";
import { HEADER_BYTES, type ReceivedFrame, Type, typeName } from "../../packages/core/src/testing/raw-frames.ts";
import { WITH_STREAM } from "./both/streams.ts";
import { answerTo, type Check, frameOf, isAlive, Skipped } from "./check.ts";
import { type ClientUnderTest, loggedIn } from "./client-under-test.ts";

const SECTION = "Input";
const ITEMS = ["one", "two", "three"];
/** An input that waits for credit after its first items. */
const MANY: readonly string[] = new Array<string>(100).fill("x".repeat(1000));

/** Starts a client that calls `wire_items`. Returns it with the request. */
async function calling(
  client: ClientUnderTest,
  items: readonly unknown[],
  giveUpMs?: number,
): Promise<{ peer: RawPeer; id: bigint }> {
  const { peer } = await loggedIn(client, WITH_STREAM);
  peer.call("wire_input", { items, ...(giveUpMs === undefined ? {} : { give_up_ms: giveUpMs }) }, 1n);
  for (;;) {
    const received = await frameOf(peer);
    if (received.payload?.["code"] === 4000) throw new Skipped("the client has no method 'wire_input'");
    if (received.type !== Type.RPC_REQUEST) continue;
    assert.deepEqual([received.payload?.["method"], received.payload?.["input"]], ["wire_items", true]);
    return { peer, id: received.id };
  }
}

function credit(peer: RawPeer, id: bigint, bytes: number): void {
  peer.send(Type.INPUT_CREDIT, { bytes }, { id });
}

function framesOf(peer: RawPeer, type: number): readonly ReceivedFrame[] {
  return peer.frames.all.filter((frame) => frame.type === type);
}

/** Resolves with the single INPUT_END, which arrives before the answer to a PING. */
async function endOf(peer: RawPeer): Promise<ReceivedFrame> {
  await isAlive(peer);
  const ends = framesOf(peer, Type.INPUT_END);
  assert.equal(ends.length, 1, `INPUT_END came ${ends.length} times`);
  return ends[0] as ReceivedFrame;
}

function reply(peer: RawPeer, id: bigint): void {
  peer.send(Type.RPC_RESPONSE, { success: true, result: 3 }, { id });
}

/** Checks of a client that calls a method with an input stream. */
export const clientStreamChecks: readonly Check<ClientUnderTest>[] = [
  {
    section: SECTION,
    sentence: "A caller sends nothing of its input before the first `INPUT_CREDIT` has come.",
    async run(client) {
      const { peer, id } = await calling(client, ITEMS);
      await isAlive(peer);
      assert.deepEqual([...framesOf(peer, Type.INPUT), ...framesOf(peer, Type.INPUT_END)].map(typeName), []);
      credit(peer, id, 100_000);
      await frameOf(peer, Type.INPUT);
    },
  },
  {
    section: SECTION,
    sentence: "From then on the input is open, and the caller sends `INPUT_END` exactly once:",
    async run(client) {
      const { peer, id } = await calling(client, ITEMS);
      credit(peer, id, 100_000);
      await frameOf(peer, Type.INPUT_END);
      const items = framesOf(peer, Type.INPUT).flatMap(({ payloadBytes }) => [...decodeMulti(payloadBytes)]);
      assert.deepEqual(items, ITEMS);
      reply(peer, id);
      assert.deepEqual((await answerTo(peer, 1n)).payload?.["result"], { result: 3 });
      assert.equal((await endOf(peer)).payloadBytes.length, 0);
    },
  },
  {
    section: SECTION,
    sentence:
      "when `INPUT_STOP` has come, when it has sent `CANCEL`, and when the reply has come, without a payload, unless it has sent it before.",
    async run(client) {
      const stopped = await calling(client, MANY);
      credit(stopped.peer, stopped.id, 1);
      await frameOf(stopped.peer, Type.INPUT);
      stopped.peer.send(Type.INPUT_STOP, undefined, { id: stopped.id });
      assert.equal((await frameOf(stopped.peer, Type.INPUT_END)).payloadBytes.length, 0);
      reply(stopped.peer, stopped.id);
      await answerTo(stopped.peer, 1n);
      await endOf(stopped.peer);

      const answered = await calling(client, MANY);
      credit(answered.peer, answered.id, 1);
      await frameOf(answered.peer, Type.INPUT);
      reply(answered.peer, answered.id);
      await answerTo(answered.peer, 1n);
      assert.equal((await endOf(answered.peer)).payloadBytes.length, 0);
    },
  },
  {
    section: SECTION,
    sentence: "A caller that cancels its call sends `CANCEL`.",
    async run(client) {
      const { peer, id } = await calling(client, MANY, 100);
      credit(peer, id, 1);
      assert.equal((await frameOf(peer, Type.CANCEL)).id, id);
      peer.send(Type.RPC_ERROR, { success: false, error: "no", code: 1003 }, { id });
      const { id: ended, payloadBytes } = await endOf(peer);
      assert.deepEqual([ended, payloadBytes.length], [id, 0]);
    },
  },
  {
    section: SECTION,
    sentence:
      "when it closes the connection before its input has ended, with text and code of an error, such as `CONNECTION_CLOSED`;",
    async run(client) {
      await client.needsMethod("wire_disconnect");
      const { peer, id } = await calling(client, MANY);
      credit(peer, id, 1);
      await frameOf(peer, Type.INPUT);
      peer.call("wire_disconnect", {}, 2n);
      const ended = await frameOf(peer, Type.INPUT_END);
      const { error, code } = ended.payload ?? {};
      assert.deepEqual([ended.id, typeof error, typeof code], [id, "string", "number"]);
    },
  },
  {
    section: "Credit of streams",
    sentence: "Each stream has its own: bytes of `INPUT` or `OUTPUT` frames, headers included.",
    async run(client) {
      const { peer, id } = await calling(client, MANY);
      credit(peer, id, 1);
      const { payloadBytes } = await frameOf(peer, Type.INPUT);
      credit(peer, id, HEADER_BYTES + payloadBytes.length - 1);
      await isAlive(peer);
      assert.equal(framesOf(peer, Type.INPUT).length, 1, "It sent an item without credit");
      credit(peer, id, 1);
      await frameOf(peer, Type.INPUT);
    },
  },
];
