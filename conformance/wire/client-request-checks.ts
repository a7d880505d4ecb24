import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { RawPeer } from "../../packages/core/src/test-support/raw-peer.ts";
import {
  COMPRESSED,
  call,
  chunksOf,
  HEADER_BYTES,
  type ReceivedFrame,
  Type,
  typeName,
} from "../../packages/core/src/testing/raw-frames.ts";
import { CHUNK } from "./both/chunks.ts";
import { GRANT } from "./both/credit.ts";
import { hasEachKeyOnce } from "./both/keys.ts";
import { answerTo, type Check, frameOf, isAlive } from "./check.ts";
import { type ClientUnderTest, challenged } from "./client-under-test.ts";

const LENT = { frames: 1, bytes: 1 };
/** Text that compresses well, but not too well. */
const WORDS = Array.from({ length: 400 }, (_, index) => `word ${index * 7919}`).join(" ");

function lengthOf({ payloadBytes }: ReceivedFrame): number {
  return HEADER_BYTES + payloadBytes.length;
}

/** Requests that the client calls a method. Doesn't wait for the answer. */
function asks(peer: RawPeer, params: object, id: bigint, giveUpMs?: number): void {
  const limit = giveUpMs === undefined ? {} : { give_up_ms: giveUpMs };
  peer.call("wire_call", { method: "later", params, ...limit }, id);
}

/** Checks that the client's call has failed with this code. */
async function hasFailed(peer: RawPeer, id: bigint, code: number): Promise<void> {
  assert.deepEqual((await answerTo(peer, id)).payload?.["result"], { code });
}

function isRequest({ type }: ReceivedFrame): boolean {
  return type === Type.RPC_REQUEST || type === Type.MESSAGE || type === Type.CANCEL;
}

/** Checks of what a client sends and when. */
export const clientRequestChecks: readonly Check<ClientUnderTest>[] = [
  {
    section: "Login",
    sentence: "After `AUTH_REQUEST` or `AUTH_RESPONSE`, a client sends nothing until it has the server's reply.",
    async run(client) {
      const login = await client.request();
      await sleep(100);
      assert.deepEqual(login.peer.frames.all.map(typeName), ["AUTH_REQUEST"]);
      await challenged(login);
      await sleep(100);
      assert.deepEqual(login.peer.frames.all.map(typeName), ["AUTH_REQUEST", "AUTH_RESPONSE"]);
    },
  },
  {
    section: "AUTH_REQUEST",
    sentence: "**Send this map even if it is empty**: a client without it counts as a plain peer.",
    async run(client) {
      const { extensions } = (await client.request()).request;
      assert.ok(typeof extensions === "object" && extensions !== null, "AUTH_REQUEST has no map extensions");
    },
  },
  {
    section: "AUTH_REQUEST",
    sentence:
      "`password_hash`: sent only by plain peers, and by clients configured to offer it: the SHA-256 of the password (UTF-8) in 64 lower-case hex digits.",
    async run(client) {
      assert.ok(!Object.hasOwn((await client.request()).request, "password_hash"), "It can be replayed");
    },
  },
  {
    section: "READY",
    sentence:
      "A server that rejects no client at this point declines the extension, and its clients are connected at `AUTH_SUCCESS`.",
    async run(client) {
      const peer = await client.login({ close: true });
      await frameOf(peer, Type.RPC_REQUEST);
    },
  },
  {
    section: "Correlation ids",
    sentence: "Each side numbers its own requests, so both sides may use the same id at the same time.",
    async run(client) {
      const { peer, call: request } = await client.call({ close: true, call: true });
      peer.write(call(request.id, "echo", { a: 1 }));
      const answer = await answerTo(peer, request.id);
      assert.deepEqual([typeName(answer), answer.payload?.["result"]], ["RPC_RESPONSE", { a: 1 }]);
      peer.send(Type.RPC_RESPONSE, { success: true, result: 5 }, { id: request.id });
      assert.deepEqual((await frameOf(peer, Type.MESSAGE)).payload, { type: "result", data: 5 });
    },
  },
  {
    section: "RPC_REQUEST",
    sentence: "Replies may come in any order.",
    async run(client) {
      await client.needsMethod("wire_call");
      const { peer } = await client.call({ close: true, call: true });
      const requests: ReceivedFrame[] = [];
      for (const id of [1n, 2n]) {
        asks(peer, { n: Number(id) }, id);
        requests.push(await frameOf(peer, Type.RPC_REQUEST));
      }
      for (const [index, id] of [2n, 1n].entries()) {
        const request = requests[1 - index] as ReceivedFrame;
        peer.send(Type.RPC_RESPONSE, { success: true, result: Number(id) * 10 }, { id: request.id });
        assert.deepEqual((await answerTo(peer, id)).payload?.["result"], { result: Number(id) * 10 });
      }
    },
  },
  {
    section: "Extensions",
    sentence:
      "| `cancel` | `CANCEL` with the id of an `RPC_REQUEST`, or of a `MESSAGE` that requested a reply, says that its sender no longer waits |",
    async run(client) {
      await client.needsMethod("wire_call");
      await client.needsExtension("cancel");
      const { peer } = await client.call({ close: true, call: true, cancel: true });
      asks(peer, {}, 1n, 50);
      const request = await frameOf(peer, Type.RPC_REQUEST);
      assert.equal((await frameOf(peer, Type.CANCEL)).id, request.id);
      await hasFailed(peer, 1n, 5001);
      // The answer to an abandoned call is ignored.
      peer.send(Type.RPC_RESPONSE, { success: true, result: 1 }, { id: request.id });
      await isAlive(peer);
    },
  },
  {
    section: "Credit",
    sentence:
      "Each frame uses one frame and its own length; the bytes may fall below zero by the last frame, so a message of any size can be sent.",
    async run(client) {
      await client.needsExtension("credit");
      const { peer, call: request } = await client.call({ close: true, credit: LENT });
      peer.send(Type.RPC_RESPONSE, { success: true, result: 1 }, { id: request.id });
      // One byte less than required to continue.
      peer.send(Type.CREDIT, { frames: 1, bytes: lengthOf(request) - 1 });
      assert.deepEqual((await isAlive(peer)).filter(isRequest), [], "It sent a message without credit");
      peer.send(Type.CREDIT, { frames: 0, bytes: 1 });
      await frameOf(peer, Type.MESSAGE);
    },
  },
  {
    section: "Credit",
    sentence:
      "A request that waits for credit, or in the send queue, is withdrawn when its caller gives up: neither it nor a `CANCEL` is sent.",
    async run(client) {
      await client.needsMethod("wire_call");
      await client.needsExtension("credit");
      const { peer } = await client.call({ close: true, call: true, cancel: true, credit: LENT });
      asks(peer, {}, 1n, 50);
      await hasFailed(peer, 1n, 5001);
      peer.send(Type.CREDIT, GRANT);
      assert.deepEqual((await isAlive(peer)).filter(isRequest).map(typeName), []);
    },
  },
  {
    section: "Credit",
    sentence: "`timeout_ms` is what remains when the frame leaves.",
    async run(client) {
      await client.needsMethod("wire_call");
      await client.needsExtension("credit");
      await client.needsExtension("deadline");
      const { peer } = await client.call({ close: true, call: true, deadline: true, credit: LENT });
      asks(peer, {}, 1n, 60_000);
      await sleep(200);
      peer.send(Type.CREDIT, GRANT);
      const left = Number((await frameOf(peer, Type.RPC_REQUEST)).payload?.["timeout_ms"]);
      assert.ok(left > 0 && left <= 59_850, `timeout_ms is ${left}`);
    },
  },
  {
    section: "Credit",
    sentence: "Requests that had to wait are sent without compression.",
    options: { enableCompression: true },
    async run(client) {
      await client.needsMethod("wire_call");
      await client.needsExtension("compression");
      const agreed = { close: true, call: true, compression: true };
      for (const [credit, isCompressed] of [
        [GRANT, true],
        [LENT, false],
      ] as const) {
        const { peer } = await client.call({ ...agreed, credit });
        asks(peer, { text: WORDS }, 1n);
        peer.send(Type.CREDIT, GRANT);
        const { flags } = await frameOf(peer, Type.RPC_REQUEST);
        assert.equal((flags & COMPRESSED) !== 0, isCompressed, `With a grant of ${credit.frames} frames`);
      }
    },
  },
  {
    section: "PAUSE and RESUME",
    sentence:
      "Plain peers may also send `PAUSE`, which asks the other side to stop sending `MESSAGE` and `RPC_REQUEST`; `RESUME` lifts that.",
    async run(client) {
      const { peer, call: request } = await client.call({ close: true, call: true });
      peer.send(Type.PAUSE);
      peer.send(Type.RPC_RESPONSE, { success: true, result: 1 }, { id: request.id });
      assert.deepEqual((await isAlive(peer)).filter(isRequest), []);
      peer.send(Type.RESUME);
      assert.deepEqual((await frameOf(peer, Type.MESSAGE)).payload, { type: "result", data: 1 });
    },
  },
  {
    section: "PAUSE and RESUME",
    sentence: "Replies, heartbeats and all other frames continue.",
    async run(client) {
      const { peer } = await client.call({ close: true, call: true });
      peer.send(Type.PAUSE);
      peer.write(call(9n, "echo", { a: 1 }));
      assert.equal(typeName(await answerTo(peer, 9n)), "RPC_RESPONSE");
      await isAlive(peer);
    },
  },
  {
    section: "PAUSE and RESUME",
    sentence: "Sending either frame twice has no further effect.",
    async run(client) {
      const { peer, call: request } = await client.call({ close: true, call: true });
      for (const type of [Type.RESUME, Type.PAUSE, Type.PAUSE]) peer.send(type);
      peer.send(Type.RPC_RESPONSE, { success: true, result: 1 }, { id: request.id });
      assert.deepEqual((await isAlive(peer)).filter(isRequest), []);
      peer.send(Type.RESUME);
      await frameOf(peer, Type.MESSAGE);
    },
  },
  {
    section: "Chunks",
    sentence:
      "Order: a `MESSAGE`, and an `RPC_REQUEST` without a correlation id, isn't sent before all earlier ones have left completely.",
    async run(client) {
      await client.needsExtension("chunk");
      await client.needsMethod("wire_send");
      const { peer } = await client.call({ close: true, call: true, credit: GRANT, chunk: CHUNK });
      const large = "x".repeat(400_000);
      peer.write(...chunksOf(call(2n, "wire_send", { items: [large, "small"] }), 1n));
      let left = large.length;
      for (;;) {
        const received = await frameOf(peer);
        if (received.type === Type.CHUNK) {
          left -= received.payloadBytes.length;
          peer.send(Type.CHUNK_ACK, { bytes: received.payloadBytes.length });
        }
        if (received.type !== Type.MESSAGE) continue;
        assert.deepEqual(received.payload, { type: "item", data: "small" });
        assert.ok(left <= 0, `${left} bytes of the message before it had not left`);
        break;
      }
    },
  },
  {
    section: "Order",
    sentence:
      "A result settles its call when it arrives; it doesn't wait for the handlers of messages that arrived before it, which may still be queued.",
    async run(client) {
      await client.needsMethod("wire_call");
      const { peer, call: request } = await client.call({ close: true, call: true });
      // More calls than a client runs concurrently, all with waiting handlers.
      for (let id = 1; id <= 500; id += 1) asks(peer, {}, BigInt(id));
      await isAlive(peer);
      peer.send(Type.RPC_RESPONSE, { success: true, result: 5 }, { id: request.id });
      assert.deepEqual((await frameOf(peer, Type.MESSAGE)).payload, { type: "result", data: 5 });
    },
  },
  {
    section: "Closing",
    sentence:
      "Messages that wait for credit, or leave in chunks, are sent first, as the peer returns credit and acknowledges chunks; requests whose callers were told that the connection closes are withdrawn.",
    async run(client) {
      for (const method of ["wire_call", "wire_send", "wire_disconnect"]) await client.needsMethod(method);
      await client.needsExtension("credit");
      const { peer } = await client.call({ close: true, call: true, credit: LENT });
      peer.call("wire_send", { items: [1, 2] }, 1n);
      asks(peer, {}, 2n);
      peer.call("wire_disconnect", {}, 3n);
      // The call that is waiting for credit fails when the client starts to close.
      await hasFailed(peer, 2n, 5010);
      assert.deepEqual((await isAlive(peer)).filter(isRequest), [], "It sent without credit");
      peer.send(Type.CREDIT, GRANT);
      const before = peer.frames.all.length;
      const { payload } = await frameOf(peer, Type.CLOSE);
      assert.equal(payload?.["code"], 5010);
      const sent = peer.frames.all.slice(before).filter(isRequest);
      assert.deepEqual(
        sent.map((one) => one.payload),
        [1, 2].map((data) => ({ type: "item", data })),
      );
    },
  },
  {
    section: "Values",
    sentence: "Senders send each key once.",
    async run(client) {
      const { peer, call: request } = await client.call();
      for (const received of [...peer.frames.all, request]) hasEachKeyOnce(received);
    },
  },
];
