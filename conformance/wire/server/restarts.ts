import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { RawPeer } from "../../../packages/core/src/test-support/raw-peer.ts";
import { ScramClient } from "../../../packages/core/src/test-support/scram-by-rfc.ts";
import { frame, type ReceivedFrame, Type } from "../../../packages/core/src/testing/raw-frames.ts";
import { codeOf, freshKey, ONCE, ONCE_EXTENSIONS, once } from "../both/once.ts";
import { acknowledges, RESUMING, sentBytes } from "../both/sessions.ts";
import { type Check, frameOf } from "../check.ts";
import { loggedIn, type ServerUnderTest } from "../server-under-test.ts";
import { newSession, OFFER, receivedBytes, resume, type Stream } from "./sessions.ts";

const REPORT_REFUSAL = 0x1000;
const OUTCOME_UNKNOWN = 5025;
/** Duration of handlers that are to be interrupted. */
const ENDLESS_MS = 600_000;
/** Duration of a handler that ends after the handlers of later messages. */
const LATER_MS = 300;
/** Maximum number of polls for something that the server does on its own. */
const MAX_LOOKS = 200;
const LOOK_MS = 50;
const CALL_ID = 99n;

type Params = Readonly<Record<string, unknown>>;

async function called(server: ServerUnderTest, peer: RawPeer, method: string, params: object): Promise<unknown> {
  const { type, payload } = await server.callOn(peer, method, params, CALL_ID);
  assert.equal(type, Type.RPC_RESPONSE, `${method} failed: ${JSON.stringify(payload)}`);
  return payload?.["result"];
}

/** Logs in a peer at a server that can be killed and restarted and has these methods. */
async function withStore(server: ServerUnderTest, ...methods: readonly string[]): Promise<RawPeer> {
  server.needsRestart();
  for (const method of methods) await (await server.loginFor(method)).dispose();
  return (await loggedIn(server, ONCE_EXTENSIONS)).peer;
}

/** Sends a call or message with a key whose handler doesn't end, and kills the server while it runs. */
async function interrupt(server: ServerUnderTest, peer: RawPeer, ...begun: readonly Params[]): Promise<void> {
  for (const [index, params] of begun.entries()) {
    peer.send(Type.RPC_REQUEST, { method: "$once", params }, { id: index + 1 });
    await started(server, peer, String(params["key"]));
  }
  await server.restart();
}

/** Waits until `wire_slow` has been started for the key. */
async function started(server: ServerUnderTest, peer: RawPeer, key: string): Promise<void> {
  for (let looks = 0; looks < MAX_LOOKS; looks += 1) {
    if (Number(await called(server, peer, "wire_runs", { key })) > 0) return;
    await sleep(LOOK_MS);
  }
  throw new Error("wire_slow wasn't started");
}

const slowCall = (key: string, ms: number): Params => ({ key, method: "wire_slow", params: { key, ms } });
const slowMessage = (key: string, ms: number, deliveries?: number): Params => {
  return { key, type: "wire_slow", data: { key, ms }, ...(deliveries === undefined ? {} : { deliveries }) };
};

/** Sends numbered messages without waiting for replies. */
function sendNumbered({ peer }: Stream, ...messages: readonly (readonly [type: string, data: unknown])[]): void {
  const flags = REPORT_REFUSAL;
  peer.write(...messages.map(([type, data]) => frame(Type.MESSAGE, { type, data }, { flags })));
}

/** Creates a session at a server with a store. */
async function keptSession(server: ServerUnderTest): Promise<Stream> {
  await (await withStore(server, "wire_slow")).dispose();
  await server.needsExtension("refusal");
  return newSession(server, { ...OFFER, refusal: true, drain: true });
}

/** Resolves with `handled` of the next SESSION_ACK that contains it. */
async function nextHandled({ peer }: Stream): Promise<unknown> {
  for (;;) {
    const { handled } = (await frameOf(peer, Type.SESSION_ACK)).payload ?? {};
    if (handled !== undefined) return handled;
  }
}

/** Messages 0, 2 and 3 are handled and stored as such; the handler of message 1 doesn't end. */
async function partlyHandled(session: Stream): Promise<void> {
  const key = freshKey();
  const slow = (ms: number) => ["wire_slow", { key, ms }] as const;
  sendNumbered(session, slow(LATER_MS), slow(ENDLESS_MS), ["wire_echo", 2], ["wire_echo", 3]);
  assert.equal(await nextHandled(session), 1);
}

/** Resolves with the keys that a server lists. */
async function namedKeys(server: ServerUnderTest): Promise<unknown> {
  const peer = await server.dial();
  const { extensions } = await server.logInAs(peer, new ScramClient(server.password), { extensions: { once: true } });
  return (extensions as Readonly<Record<string, { readonly keys?: unknown }>>)["once"]?.keys;
}

async function storeFails(server: ServerUnderTest, fails: boolean): Promise<void> {
  const { peer } = await loggedIn(server, ONCE_EXTENSIONS);
  await called(server, peer, "wire_store", { fails });
}

/** Checks of a server whose store survives restarts. Skipped if the server can't be killed and restarted. */
export const restartChecks: readonly Check<ServerUnderTest>[] = [
  {
    section: ONCE,
    sentence:
      "It then records the start of a delivery before the handlers start; if the store can't, it answers with `STORE_FAILED` or `STORE_FULL`, with `retry_after`, and doesn't begin.",
    store: true,
    async run(server) {
      const peer = await withStore(server, "wire_slow", "wire_store");
      const key = freshKey();
      await called(server, peer, "wire_store", { fails: true });
      const refusal = await once(peer, slowCall(key, 0));
      assert.ok([6200, 6201].includes(Number(codeOf(refusal))), `The code is ${String(codeOf(refusal))}`);
      const { retry_after } = (refusal.payload?.["details"] ?? {}) as Readonly<Record<string, unknown>>;
      assert.equal(typeof retry_after, "number");
      await called(server, peer, "wire_store", { fails: false });
      assert.deepEqual((await once(peer, slowCall(key, 0))).payload?.["result"], { runs: 1 });
    },
  },
  {
    section: ONCE,
    sentence:
      "A server may keep keys and answers in a store that outlives its process, for as long as it is configured to.",
    store: true,
    async run(server) {
      const peer = await withStore(server, "wire_slow");
      const [key, wrong] = [freshKey(), freshKey()];
      const failing = { key: wrong, method: "nobody_has_this", params: {} };
      await once(peer, slowCall(key, 0));
      assert.equal(codeOf(await once(peer, failing)), 4000);
      await server.restart();
      const { peer: next } = await loggedIn(server, ONCE_EXTENSIONS);
      assert.deepEqual((await once(next, slowCall(key, 0))).payload?.["result"], { runs: 1 });
      assert.equal(await called(server, next, "wire_runs", { key }), 0, "It was carried out again");
      assert.equal(codeOf(await once(next, failing)), 4000);
    },
  },
  {
    section: ONCE,
    sentence:
      "If the process that began a delivery ended before the answer was kept, the outcome is unknown. The server then answers a call with `OUTCOME_UNKNOWN`.",
    store: true,
    async run(server) {
      const peer = await withStore(server, "wire_slow", "wire_runs");
      const key = freshKey();
      await interrupt(server, peer, slowCall(key, ENDLESS_MS));
      const { peer: next } = await loggedIn(server, ONCE_EXTENSIONS);
      assert.equal(codeOf(await once(next, slowCall(key, 0))), OUTCOME_UNKNOWN);
      assert.equal(await called(server, next, "wire_runs", { key }), 0, "It was begun again");
    },
  },
  {
    section: ONCE,
    sentence:
      "It delivers a message again, with the next number, up to `deliveries` and at least three times; then the message is a dead letter, and its answer `OUTCOME_UNKNOWN`.",
    store: true,
    patienceMs: 60_000,
    async run(server) {
      let peer = await withStore(server, "wire_slow", "wire_runs", "wire_dead_letters");
      const [given, single] = [freshKey(), freshKey()];
      for (let kills = 0; kills < 3; kills += 1) {
        await interrupt(server, peer, slowMessage(given, ENDLESS_MS, 5), slowMessage(single, ENDLESS_MS));
        peer = (await loggedIn(server, ONCE_EXTENSIONS)).peer;
      }
      assert.deepEqual((await once(peer, slowMessage(given, 0, 5))).payload?.["result"], { delivery: 4 });
      assert.equal(codeOf(await once(peer, slowMessage(single, 0))), OUTCOME_UNKNOWN);
      assert.equal(await called(server, peer, "wire_runs", { key: single }), 0, "It was delivered a fourth time");
      const letters = (await called(server, peer, "wire_dead_letters", { key: single })) as readonly object[];
      assert.equal(letters.length, 1, "It is no dead letter");
    },
  },
  {
    section: ONCE,
    sentence: "A server whose store fails leaves `keys` out.",
    store: true,
    patienceMs: 60_000,
    async run(server) {
      await server.needsExtension("once");
      await withStore(server, "wire_store");
      const keys = await namedKeys(server);
      assert.equal(typeof keys, "string");
      await storeFails(server, true);
      await server.restart();
      assert.equal(await namedKeys(server), undefined);
      await storeFails(server, false);
      let again: unknown;
      for (let looks = 0; looks < MAX_LOOKS && again === undefined; looks += 1) {
        again = await namedKeys(server);
        if (again === undefined) await sleep(LOOK_MS);
      }
      assert.equal(again, keys, "The server doesn't know that it has the same keys");
    },
  },
  {
    section: RESUMING,
    sentence:
      "A server that keeps sessions in a store knows after a restart which of the client's messages were handled. `expired` then has `handled`, as in `SESSION_ACK`; `above`, a list of integers, for messages handled beyond it: for each range its first number, and the one after its last; and `unfinished`, the number of messages whose handlers were interrupted, as far as the store knows: there may be more.",
    store: true,
    async run(server) {
      const session = await keptSession(server);
      await partlyHandled(session);
      await server.restart();
      const { success } = await resume(server, session.token, receivedBytes(session));
      const { handled, above, unfinished } = (success["expired"] ?? {}) as Readonly<Record<string, unknown>>;
      assert.deepEqual({ handled, above }, { handled: 1, above: [2, 4] });
      assert.ok(unfinished === 0 || unfinished === 1, `unfinished is ${String(unfinished)}`);
    },
  },
  {
    section: RESUMING,
    sentence:
      "In `SESSION_ACK`, such a server counts a message as handled when its store has that, and acknowledges bytes as always: messages that it has received and not handled come again.",
    store: true,
    patienceMs: 30_000,
    async run(server) {
      const session = await keptSession(server);
      const peer = await withStore(server, "wire_store");
      await called(server, peer, "wire_store", { fails: true });
      sendNumbered(session, ["wire_echo", 0]);
      await acknowledges(session, sentBytes(session));
      const acks = session.peer.frames.all.filter(({ type }) => type === Type.SESSION_ACK);
      assert.deepEqual(
        acks.filter(({ payload }) => Number(payload?.["handled"] ?? 0) > 0),
        [],
        "It counts a message that its store doesn't know",
      );
      await called(server, peer, "wire_store", { fails: false });
      assert.equal(await nextHandled(session), 1);
    },
  },
  {
    section: "Closing",
    sentence:
      "A server that keeps sessions in a store and stops (5017) adds `handled` and `above`, as in `expired`: the other frames were taken but not handled, because their handlers were interrupted.",
    store: true,
    patienceMs: 30_000,
    async run(server) {
      const session = await keptSession(server);
      await partlyHandled(session);
      server.stop();
      const closing = await closed(session);
      const { code, taken, handled, above } = closing.payload ?? {};
      assert.deepEqual({ code, taken, handled, above }, { code: 5017, taken: 4, handled: 1, above: [2, 4] });
    },
  },
];

/** Resolves with the CLOSE of a server that waits for acknowledgements. */
async function closed(session: Stream): Promise<ReceivedFrame> {
  for (;;) {
    const received = await frameOf(session.peer);
    if (received.type === Type.DRAIN) session.peer.send(Type.DRAINED);
    if (received.type === Type.CLOSE) return received;
    session.peer.send(Type.SESSION_ACK, { received: receivedBytes(session) });
  }
}
