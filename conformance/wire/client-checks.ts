import assert from "node:assert/strict";
import { encode } from "@msgpack/msgpack";
import type { RawPeer } from "../../packages/core/src/test-support/raw-peer.ts";
import { call, frame, rawFrame, Type, typeName } from "../../packages/core/src/testing/raw-frames.ts";
import { chunkChecks } from "./both/chunks.ts";
import { closingChecks } from "./both/closing.ts";
import { compressionChecks } from "./both/compression.ts";
import { creditChecks } from "./both/credit.ts";
import { heartbeatChecks } from "./both/heartbeats.ts";
import { onceChecks } from "./both/once.ts";
import { refusalChecks } from "./both/refusal.ts";
import { streamChecks } from "./both/streams.ts";
import { unaskedChecks } from "./both/unasked.ts";
import { answersPingsInOrder, type Check, frameOf, isAlive, isClosedWith } from "./check.ts";
import { clientCertificateChecks } from "./client-certificate-checks.ts";
import { clientPlainChecks } from "./client-plain-checks.ts";
import { clientRequestChecks } from "./client-request-checks.ts";
import { clientSessionChecks } from "./client-session-checks.ts";
import { clientStreamChecks } from "./client-stream-checks.ts";
import { clientTokenChecks } from "./client-token-checks.ts";
import { clientTopicChecks } from "./client-topic-checks.ts";
import { type ClientLogin, type ClientUnderTest, loggedIn, SUCCESS } from "./client-under-test.ts";

const SCRAM = "SCRAM step by step";

/** Checks that the client ends the connection without sending anything else. */
async function givesUp(peer: RawPeer): Promise<void> {
  const before = peer.frames.all.length;
  await peer.over;
  assert.deepEqual(peer.frames.all.slice(before).map(typeName), [], "Frames came before the end");
}

/** A check that the client disconnects on a challenge without sending a proof. */
function refusesChallenge(
  sentence: string,
  ...challenges: readonly ((login: ClientLogin) => string)[]
): Check<ClientUnderTest> {
  return {
    section: SCRAM,
    sentence,
    async run(client) {
      for (const challenge of challenges) {
        const login = await client.request();
        login.peer.send(Type.AUTH_CHALLENGE, { data: challenge(login) });
        await givesUp(login.peer);
      }
    },
  };
}

function nonceOf({ request }: ClientLogin): string {
  return /,r=([^,]*)/.exec(String(request["scram"]))?.[1] ?? "";
}

/** Resolves with the data of the client's next MESSAGE of this type. */
async function messageOf(peer: RawPeer, type: string): Promise<unknown> {
  for (;;) {
    const { payload } = await frameOf(peer, Type.MESSAGE);
    if (payload?.["type"] === type) return payload["data"];
  }
}

const SALT = "W22ZaJ0SNY7soEsUEjb6gQ==";

/** All checks of a client. */
export const clientChecks: readonly Check<ClientUnderTest>[] = [
  {
    section: "Transport",
    sentence: "The client speaks first.",
    run: async (client) => void (await client.request()),
  },
  {
    section: SCRAM,
    sentence:
      "Each login uses a new nonce of printable ASCII without commas, with at least 120 random bits (this library: a random UUID, for either side's part).",
    async run(client) {
      const nonces = [nonceOf(await client.request()), nonceOf(await client.request())];
      for (const nonce of nonces) assert.match(nonce, /^[!-+\--~]{20,256}$/);
      assert.notEqual(nonces[0], nonces[1]);
    },
  },
  refusesChallenge(
    "The nonce is the client's followed by the server's own; the client rejects any other.",
    () => `r=0123456789abcdef0123456789abcdef,s=${SALT},i=4096`,
    (login) => `r=${nonceOf(login)},s=${SALT},i=4096`,
  ),
  refusesChallenge(
    "Each side's part has 16 to 256 characters, or else the other side rejects it.",
    (login) => `r=${nonceOf(login)}${"x".repeat(15)},s=${SALT},i=4096`,
    (login) => `r=${nonceOf(login)}${"x".repeat(257)},s=${SALT},i=4096`,
  ),
  refusesChallenge(
    "The client rejects iterations below 4,096 (a downgrade) and above 1,000,000 (an attack on its CPU).",
    ({ scram }) => scram.serverFirst.replace("i=4096", "i=4095"),
    ({ scram }) => scram.serverFirst.replace("i=4096", "i=1"),
    ({ scram }) => scram.serverFirst.replace("i=4096", "i=1000001"),
  ),
  refusesChallenge(
    "Iterations are decimal digits without leading zeros, or else the client rejects the message.",
    ({ scram }) => scram.serverFirst.replace("i=4096", "i=04096"),
    ({ scram }) => scram.serverFirst.replace("i=4096", "i=+4096"),
    ({ scram }) => scram.serverFirst.replace("i=4096", "i=4096.0"),
    ({ scram }) => scram.serverFirst.replace("i=4096", "i=0x1000"),
  ),
  refusesChallenge(
    "A message with a duplicate attribute, or with `m=` (a mandatory extension), is rejected.",
    ({ scram }) => `${scram.serverFirst},i=4096`,
    ({ scram }) => `m=x,${scram.serverFirst}`,
  ),
  refusesChallenge(
    "Attributes must be in this order.",
    ({ scram }) => scram.serverFirst.replace(/^(r=[^,]*),(s=[^,]*),(i=\d+)$/, "$2,$1,$3"),
    ({ scram }) => scram.serverFirst.replace(/^(r=[^,]*),(s=[^,]*),(i=\d+)$/, "$1,$3,$2"),
  ),
  {
    section: SCRAM,
    sentence: "**client-final-message**, in `data` of `AUTH_RESPONSE`: `c=biws,r=<nonce>,p=<proof>`.",
    run: async (client) => void (await client.answer()),
  },
  {
    section: SCRAM,
    sentence: "If it differs or is missing, the server doesn't know the password, and the client disconnects.",
    async run(client) {
      for (const scram of [{}, { scram: `v=${"A".repeat(43)}=` }]) {
        const { peer } = await client.answer();
        peer.send(Type.AUTH_SUCCESS, { ...SUCCESS, ...scram, extensions: {} });
        await givesUp(peer);
      }
    },
  },
  {
    section: "AUTH_FAILURE",
    sentence: "A client treats a code that isn't in this table, or a missing one, as 3001.",
    async run(client) {
      for (const code of [{}, { code: 3001 }, { code: 123_456 }, { code: "9" }]) {
        const { peer } = await client.request();
        peer.send(Type.AUTH_FAILURE, { reason: "no", ...code });
        await givesUp(peer);
      }
    },
  },
  {
    section: "READY",
    sentence:
      "With `ready`, the server sends `READY` when the client has been accepted, or else `CLOSE` with the reason; a client counts as connected when `READY` has arrived.",
    async run(client) {
      await client.needsExtension("ready");
      const peer = await client.login({ ready: true, close: true });
      // The client calls as soon as it has connected.
      await isAlive(peer);
      assert.ok(!peer.frames.all.some(({ type }) => type === Type.RPC_REQUEST), "The client called before READY");
      peer.send(Type.READY);
      await frameOf(peer, Type.RPC_REQUEST);
    },
  },
  {
    section: "READY",
    sentence:
      "Until then both sides may send messages and calls; the server handles those of the client after `READY`.",
    async run(client) {
      await client.needsExtension("ready");
      await client.needsExtension("call");
      const peer = await client.login({ ready: true, close: true, call: true });
      peer.write(call(9n, "echo", { a: 1 }));
      const answer = await frameOf(peer);
      assert.deepEqual([typeName(answer), answer.id], ["RPC_RESPONSE", 9n]);
    },
  },
  {
    section: "Credit",
    sentence: "A sender may send while it has credit for at least one frame and one byte.",
    async run(client) {
      const { peer, call: request } = await client.call({ close: true, credit: { frames: 1, bytes: 1 } });
      peer.send(Type.RPC_RESPONSE, { success: true, result: 1 }, { id: request.id });
      // The client would send its result now.
      assert.deepEqual((await isAlive(peer)).map(typeName), []);
      peer.send(Type.CREDIT, { frames: 1, bytes: 10_000 });
      assert.equal(await messageOf(peer, "result"), 1);
    },
  },
  {
    section: "RPC_REQUEST",
    sentence: "The reply is `RPC_RESPONSE` or `RPC_ERROR` with the same id.",
    async run(client) {
      const { peer, call: request } = await client.call();
      assert.notEqual(request.id, 0n);
      assert.equal(request.payload?.["method"], "echo");
      assert.deepEqual(request.payload?.["params"], { text: "hello" });
      peer.send(Type.RPC_RESPONSE, { success: true, result: { text: "hello" } }, { id: request.id });
      assert.deepEqual(await messageOf(peer, "result"), { text: "hello" });
    },
  },
  {
    section: "RPC_ERROR",
    sentence:
      "`error` is a human-readable message, `code` is one of the error codes or an application's own number, and `details` is a map.",
    async run(client) {
      for (const code of [4000, 9123, 123_456]) {
        const { peer, call: request } = await client.call();
        peer.send(Type.RPC_ERROR, { success: false, error: "no", code, details: {} }, { id: request.id });
        assert.deepEqual(await messageOf(peer, "error"), { code });
      }
    },
  },
  {
    section: "RPC_ERROR",
    sentence:
      "A missing code counts as 1000, as does one that isn't an integer; `details` that aren't a map are ignored.",
    async run(client) {
      for (const code of [{}, { code: null }, { code: "9" }, { code: 1.5 }, { code: Number.NaN }, { details: [1] }]) {
        const { peer, call: request } = await client.call();
        peer.send(Type.RPC_ERROR, { success: false, error: "no", ...code }, { id: request.id });
        assert.deepEqual(await messageOf(peer, "error"), { code: 1000 });
      }
    },
  },
  {
    section: "Invalid payloads",
    sentence: "`success` may be missing, and so may a `result` that is nil.",
    async run(client) {
      for (const [payload, result] of [
        [{ result: 5 }, 5],
        [{ success: true }, null],
      ]) {
        const { peer, call: request } = await client.call();
        peer.send(Type.RPC_RESPONSE, payload, { id: request.id });
        assert.equal(await messageOf(peer, "result"), result);
      }
    },
  },
  {
    section: "Values",
    sentence: "Negative zero is a float: it is sent as one, and arrives as negative zero.",
    async run(client) {
      const { peer, call: request } = await client.call();
      const negative = Uint8Array.from([0xca, 0x80, 0, 0, 0]);
      const head = encode({ success: true, result: null }).subarray(0, -1);
      peer.write(rawFrame(Type.RPC_RESPONSE, Buffer.concat([head, negative]), { id: request.id }));
      assert.ok(Object.is(await messageOf(peer, "result"), -0), "It came back as another value");
    },
  },
  {
    section: "Values",
    sentence: "A key with nil arrives with nil, and an absent key stays absent.",
    async run(client) {
      const { peer, call: request } = await client.call();
      const result = { a: null, b: { c: null }, d: [null] };
      peer.send(Type.RPC_RESPONSE, { success: true, result }, { id: request.id });
      assert.deepEqual(await messageOf(peer, "result"), result);
    },
  },
  {
    section: "Correlation ids",
    sentence: "An answer whose id matches no pending request is ignored.",
    async run(client) {
      const { peer, call: request } = await client.call();
      for (const id of [0n, request.id + 1n, request.id + 0x1_0000_0000n]) {
        peer.send(Type.RPC_RESPONSE, { success: true, result: "forged" }, { id });
      }
      peer.send(Type.RPC_RESPONSE, { success: true, result: "right" }, { id: request.id });
      peer.send(Type.RPC_RESPONSE, { success: true, result: "twice" }, { id: request.id });
      assert.equal(await messageOf(peer, "result"), "right");
      await isAlive(peer);
    },
  },
  {
    section: "Extensions",
    sentence: "An extension is in force, in both directions, if it is in both maps.",
    async run(client) {
      const { peer, call: request } = await client.call({});
      assert.deepEqual(Object.keys(request.payload ?? {}).sort(), ["method", "params"]);
      peer.send(Type.RPC_RESPONSE, { success: true, result: null }, { id: request.id });
      assert.equal(await messageOf(peer, "result"), null);
    },
  },
  {
    section: "Extensions",
    sentence:
      "| `call` | the client answers `RPC_REQUEST`; without it, the server sends none, and one that arrives ends the connection with `UNEXPECTED_FRAME` |",
    async run(client) {
      await client.needsExtension("call");
      const { peer } = await client.call();
      peer.write(call(21n, "echo", { text: "from the server" }));
      const reply = await frameOf(peer, Type.RPC_RESPONSE);
      assert.deepEqual([reply.id, reply.payload?.["result"]], [21n, { text: "from the server" }]);
      const other = (await client.call({ close: true })).peer;
      other.write(call(22n, "echo"));
      await isClosedWith(other, 7014);
    },
  },
  {
    section: "Frame types",
    sentence: "A frame of an unknown type below `0x8000` ends it with `UNKNOWN_FRAME_TYPE`.",
    async run(client) {
      const { peer } = await client.call();
      peer.send(0x7fff);
      await isClosedWith(peer, 7002);
    },
  },
  {
    section: "Frame types",
    sentence:
      "Types from `0x8000` up are optional: after the login, a receiver skips a frame of an unknown optional type, whatever its payload within the size limit of frames, and counts it.",
    async run(client) {
      const { peer } = await client.call();
      peer.write(frame(0x8000), rawFrame(0xffff, Uint8Array.of(0xc1), { id: 3n }));
      await isAlive(peer);
    },
  },
  {
    section: "Heartbeats",
    sentence:
      "The other side answers immediately with `HEARTBEAT_PONG` and the same correlation id, ahead of everything queued, and in the order of the pings.",
    async run(client) {
      // The first PING is in the same write as AUTH_SUCCESS.
      const { peer, success } = await client.answer();
      await answersPingsInOrder(peer, success);
    },
  },
  {
    section: "Closing",
    sentence:
      "The receiver answers with `CLOSE_ACK` (same correlation id), flushes its own queue except for what waits for credit or leaves in chunks, and ends its direction too.",
    async run(client) {
      const { peer } = await client.call();
      peer.send(Type.CLOSE, { reason: "done", code: 5010, reconnect: false }, { id: 78n });
      assert.equal((await frameOf(peer, Type.CLOSE_ACK)).id, 78n);
      assert.equal(await peer.over, "end");
    },
  },
  {
    section: "Draining",
    sentence:
      "The client sends no further `MESSAGE` and `RPC_REQUEST`, and answers with `DRAINED` behind its last one, which includes those that wait for credit.",
    async run(client) {
      await client.needsExtension("drain");
      const { peer, call } = await client.call({ drain: true, close: true });
      peer.send(Type.DRAIN, { ends_in_ms: 1000, retry_after_ms: 0 });
      await frameOf(peer, Type.DRAINED);
      peer.send(Type.RPC_RESPONSE, { success: true, result: {} }, { id: call.id });
      // The client would send its result now.
      assert.deepEqual((await isAlive(peer)).map(typeName), []);
    },
  },
  {
    section: "Draining",
    sentence:
      "Replies, `CANCEL` and heartbeats continue in both directions, and the server may still send messages and calls.",
    async run(client) {
      await client.needsExtension("drain");
      const { peer } = await client.call({ drain: true, close: true, call: true });
      peer.send(Type.DRAIN, { ends_in_ms: 1000, retry_after_ms: 0 });
      await frameOf(peer, Type.DRAINED);
      peer.write(call(9n, "echo", { a: 1 }));
      const answer = await frameOf(peer, Type.RPC_RESPONSE);
      assert.deepEqual([answer.id, answer.payload?.["result"]], [9n, { a: 1 }]);
    },
  },
  {
    section: "Draining",
    sentence: "A second `DRAIN` is ignored.",
    async run(client) {
      await client.needsExtension("drain");
      const { peer } = await client.call({ drain: true, close: true });
      for (let n = 0; n < 3; n += 1) peer.send(Type.DRAIN, { ends_in_ms: 1000, retry_after_ms: 0 });
      // Answers to PINGs are sent before it.
      await frameOf(peer, Type.DRAINED);
      await isAlive(peer);
      assert.deepEqual(
        peer.frames.all.map(typeName).filter((name) => name === "DRAINED"),
        ["DRAINED"],
      );
    },
  },
  {
    section: "Closing",
    sentence: "There are no half-closed connections: each side answers the peer's FIN with its own.",
    async run(client) {
      const { peer } = await client.call();
      peer.end();
      assert.equal(await peer.over, "end");
    },
  },
  ...creditChecks(loggedIn),
  ...chunkChecks(loggedIn),
  ...streamChecks(loggedIn),
  ...refusalChecks(loggedIn),
  ...onceChecks(loggedIn),
  ...unaskedChecks(loggedIn),
  ...closingChecks(loggedIn),
  ...compressionChecks(loggedIn),
  ...heartbeatChecks(loggedIn),
  ...clientTokenChecks,
  ...clientCertificateChecks,
  ...clientTopicChecks,
  ...clientSessionChecks,
  ...clientRequestChecks,
  ...clientStreamChecks,
  ...clientPlainChecks,
];
