import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { RawPeer } from "../../packages/core/src/test-support/raw-peer.ts";
import { frame, type ReceivedFrame, Type, typeName } from "../../packages/core/src/testing/raw-frames.ts";
import { CHUNK } from "./both/chunks.ts";
import { GRANT } from "./both/credit.ts";
import { sessionLimitChecks } from "./both/session-limits.ts";
import {
  ACKS,
  acknowledges,
  MIN_KEPT_BYTES,
  RESUMING,
  receivedBehind,
  type SessionStream,
  sentBytes,
  tooLargeAckCheck,
} from "./both/sessions.ts";
import { type Check, frameOf, Skipped } from "./check.ts";
import { type ClientUnderTest, challenged, requestOn, SUCCESS } from "./client-under-test.ts";

export const AGREED = {
  reply: true,
  close: true,
  call: true,
  credit: GRANT,
  chunk: CHUNK,
  resume: { bytes: MIN_KEPT_BYTES, window_ms: 60_000 },
};

/** A stream of the client's session with its AUTH_REQUEST. */
interface Stream extends SessionStream {
  readonly request: Readonly<Record<string, unknown>>;
}

/** Accepts the client's login on this connection. */
export async function admit(peer: RawPeer, keys: Readonly<Record<string, unknown>>): Promise<Stream> {
  const login = await requestOn(peer);
  const offer = (login.request["extensions"] ?? {}) as object;
  if (!Object.hasOwn(offer, "resume")) throw new Skipped("the client has no sessions");
  peer.send(Type.AUTH_SUCCESS, { ...SUCCESS, scram: await challenged(login), extensions: AGREED, ...keys });
  return { peer, request: login.request, sentBefore: peer.sent.length };
}

/** Starts a client with a new session and these additional extensions. */
export async function newSession(client: ClientUnderTest, extensions: object = {}): Promise<Stream> {
  return admit(await client.connect({ resumes: true }), { extensions: { ...AGREED, ...extensions } });
}

/** Cuts the stream and lets the client resume over another one. `received`: number of bytes that this side has received. */
async function resumed(client: ClientUnderTest, { peer }: Stream, received: number): Promise<Stream> {
  peer.reset();
  return admit(await client.nextConnection(), { session_token: "e".repeat(64), resumed: { received } });
}

/** Answers the client's call. */
async function answer(peer: RawPeer): Promise<ReceivedFrame> {
  const call = await frameOf(peer, Type.RPC_REQUEST);
  peer.send(Type.RPC_RESPONSE, { success: true, result: { text: "hello" } }, { id: call.id });
  return call;
}

/** Checks of sessions. Skipped if the client doesn't support sessions. */
export const clientSessionChecks: readonly Check<ClientUnderTest>[] = [
  {
    section: "Sessions",
    sentence:
      "Both sides announce parameters, integers: `bytes`, how much a side keeps of what it has sent until the other acknowledges it, at least 65,536; and `window_ms`, how long the server keeps a suspended session, 0 from a client.",
    async run(client) {
      const { request } = await newSession(client);
      const { bytes, window_ms } = (request["extensions"] as Record<string, Record<string, unknown>>)["resume"] ?? {};
      assert.ok(Number.isSafeInteger(bytes) && Number(bytes) >= MIN_KEPT_BYTES, `bytes is ${String(bytes)}`);
      assert.equal(window_ms, 0);
    },
  },
  {
    section: ACKS,
    sentence: "`SESSION_ACK` says in `received` how many bytes its sender has received of the session.",
    async run(client) {
      const session = await newSession(client);
      await answer(session.peer);
      await acknowledges(session, sentBytes(session));
    },
  },
  tooLargeAckCheck((client) => newSession(client)),
  {
    section: RESUMING,
    sentence: "The client logs in as always, with the same credentials, and adds to `AUTH_REQUEST`:",
    async run(client) {
      const session = await newSession(client);
      await answer(session.peer);
      await acknowledges(session, sentBytes(session));
      const { request } = await resumed(client, session, 0);
      assert.deepEqual(request["resume"], { token: SUCCESS.session_token, received: sentBytes(session) });
    },
  },
  {
    section: RESUMING,
    sentence:
      "After `AUTH_SUCCESS`, each side repeats the bytes that it has sent beyond the other side's count, and then continues.",
    async run(client) {
      const session = await newSession(client);
      const call = await frameOf(session.peer, Type.RPC_REQUEST);
      const { peer } = await resumed(client, session, 0);
      assert.equal((await answer(peer)).id, call.id);
      assert.equal((await frameOf(peer, Type.MESSAGE)).payload?.["type"], "result");
    },
  },
  {
    section: RESUMING,
    sentence:
      "A client that has kept its messages sends those that weren't handled again, in order, before anything else, over this new connection, on which their numbers restart from 0.",
    async run(client) {
      const session = await newSession(client);
      await answer(session.peer);
      await frameOf(session.peer, Type.MESSAGE);
      const received = receivedBehind(session, Type.AUTH_RESPONSE);
      session.peer.reset();
      const expired = { received, handled: 0, above: [], unfinished: 0 };
      const { peer } = await admit(await client.nextConnection(), { session_token: "e".repeat(64), expired });
      const first = await frameOf(peer);
      assert.deepEqual([typeName(first), first.payload?.["type"]], ["MESSAGE", "result"]);
    },
  },
  {
    section: RESUMING,
    sentence: "So a client sends a `SESSION_ACK` at once.",
    async run(client) {
      const session = await newSession(client);
      const call = await frameOf(session.peer, Type.RPC_REQUEST);
      const { peer } = await resumed(client, session, receivedBehind(session, Type.AUTH_RESPONSE));
      assert.equal(typeName(await frameOf(peer)), "SESSION_ACK");
      peer.send(Type.RPC_RESPONSE, { success: true, result: { text: "hello" } }, { id: call.id });
      assert.equal((await frameOf(peer, Type.MESSAGE)).payload?.["type"], "result");
    },
  },
  ...sessionLimitChecks<ClientUnderTest>(async (client) => {
    const session = await newSession(client);
    await answer(session.peer);
    const resume = (session.request["extensions"] as Record<string, unknown>)["resume"];
    const { bytes } = resume as { readonly bytes: number };
    return { ...session, keptBytes: bytes, lastOfLogin: Type.AUTH_RESPONSE };
  }),
  {
    section: "Counting",
    sentence:
      "A byte counts as received when the receiver has taken it, into the frame that it belongs to or a queue in front of that; the rest of a frame that was cut comes over the next stream.",
    async run(client) {
      const session = await newSession(client);
      const call = await frameOf(session.peer, Type.RPC_REQUEST);
      const before = sentBytes(session);
      const bytes = frame(Type.RPC_RESPONSE, { success: true, result: "whole" }, { id: call.id });
      session.peer.write(bytes.subarray(0, 40));
      session.peer.end();
      const received = receivedBehind(session, Type.AUTH_RESPONSE);
      const keys = { session_token: "e".repeat(64), resumed: { received } };
      const { peer, request } = await admit(await client.nextConnection(), keys);
      const taken = Number((request["resume"] as { received?: unknown }).received) - before;
      assert.ok(taken >= 0 && taken <= 40, `It has received ${taken} of 40 bytes`);
      peer.write(bytes.subarray(taken));
      assert.deepEqual((await frameOf(peer, Type.MESSAGE)).payload, { type: "result", data: "whole" });
    },
  },
  {
    section: "Deadlines",
    sentence:
      "A frame that is sent again when a session is resumed has the `timeout_ms` of its first sending, so the time in between doesn't count.",
    async run(client) {
      await client.needsExtension("deadline");
      const session = await newSession(client, { deadline: true });
      const call = await frameOf(session.peer, Type.RPC_REQUEST);
      const { peer } = await resumed(client, session, 0);
      const again = await frameOf(peer, Type.RPC_REQUEST);
      assert.ok(Number(call.payload?.["timeout_ms"]) > 0, "The call has no timeout_ms");
      assert.deepEqual(again.payload, call.payload);
    },
  },
  {
    section: "Closing",
    sentence: "`reconnect: false` asks a client not to reconnect automatically; a missing `reconnect` counts as true.",
    async run(client) {
      const back = await newSession(client);
      await answer(back.peer);
      back.peer.send(Type.CLOSE, { reason: "done", code: 5010 });
      const again = await admit(await client.nextConnection(), { extensions: AGREED });
      assert.equal(again.request["resume"], undefined, "It resumes a session that was closed");
      again.peer.send(Type.CLOSE, { reason: "done", code: 5010, reconnect: false });
      const came = client.nextConnection().then(() => "it came back");
      assert.equal(await Promise.race([came, sleep(300)]), undefined);
    },
  },
  {
    section: "Closing",
    sentence: "A client that has kept its messages sends these to the next server.",
    async run(client) {
      const session = await newSession(client, { refusal: true });
      await answer(session.peer);
      await frameOf(session.peer, Type.MESSAGE);
      const stored = { taken: 1, handled: 0, above: [] };
      session.peer.send(Type.CLOSE, { reason: "stopping", code: 5017, reconnect: true, ...stored });
      const { peer } = await admit(await client.nextConnection(), { extensions: { ...AGREED, refusal: true } });
      assert.deepEqual((await frameOf(peer, Type.MESSAGE)).payload?.["type"], "result");
    },
  },
];
