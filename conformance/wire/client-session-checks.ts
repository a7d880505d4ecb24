import assert from "node:assert/strict";
import type { RawPeer } from "../../packages/core/src/test-support/raw-peer.ts";
import { HEADER_BYTES, type ReceivedFrame, Type, typeName } from "../../packages/core/src/testing/raw-frames.ts";
import { CHUNK } from "./both/chunks.ts";
import { GRANT } from "./both/credit.ts";
import { type Check, frameOf, isClosedWith, Skipped } from "./check.ts";
import { type ClientUnderTest, challenged, requestOn, SUCCESS } from "./client-under-test.ts";

const ACKS = "Acknowledgements";
const RESUMING = "Resuming";
const AGREED = {
  reply: true,
  close: true,
  call: true,
  credit: GRANT,
  chunk: CHUNK,
  resume: { bytes: 65_536, window_ms: 60_000 },
};

/** A stream of the client's session, and what its AUTH_REQUEST said. */
interface Stream {
  readonly peer: RawPeer;
  readonly request: Readonly<Record<string, unknown>>;
  /** Chunks that were sent in the login. */
  readonly sentBefore: number;
}

/** Lets the client on this connection in. */
async function admit(peer: RawPeer, keys: Readonly<Record<string, unknown>>): Promise<Stream> {
  const login = await requestOn(peer);
  const offer = (login.request["extensions"] ?? {}) as object;
  if (!Object.hasOwn(offer, "resume")) throw new Skipped("the client has no sessions");
  peer.send(Type.AUTH_SUCCESS, { ...SUCCESS, scram: await challenged(login), extensions: AGREED, ...keys });
  return { peer, request: login.request, sentBefore: peer.sent.length };
}

async function newSession(client: ClientUnderTest): Promise<Stream> {
  return admit(await client.connect(true), {});
}

/** The stream is lost, and the client goes on over another one, of which this side has received so many bytes. */
async function resumed(client: ClientUnderTest, { peer }: Stream, received: number): Promise<Stream> {
  peer.reset();
  return admit(await client.nextConnection(), { session_token: "e".repeat(64), resumed: { received } });
}

function sentBytes({ peer, sentBefore }: Stream): number {
  return peer.sent.slice(sentBefore).reduce((sum, { length }) => sum + length, 0);
}

/** Bytes of a new session that have arrived. */
function receivedBytes({ peer }: Stream): number {
  const all = peer.frames.all;
  const behind = all.slice(all.findIndex(({ type }) => type === Type.AUTH_RESPONSE) + 1);
  return behind.reduce((sum, { payloadBytes }) => sum + HEADER_BYTES + payloadBytes.length, 0);
}

/** Answers the client's call. */
async function answer(peer: RawPeer): Promise<ReceivedFrame> {
  const call = await frameOf(peer, Type.RPC_REQUEST);
  peer.send(Type.RPC_RESPONSE, { success: true, result: { text: "hello" } }, { id: call.id });
  return call;
}

/** The client's acknowledgements, up to one of this many bytes. */
async function acknowledges(peer: RawPeer, bytes: number): Promise<void> {
  for (let received = 0; received !== bytes; ) {
    received = Number((await frameOf(peer, Type.SESSION_ACK)).payload?.["received"]);
    assert.ok(received <= bytes, `It acknowledges ${received} bytes of ${bytes}`);
  }
}

/** Checks of sessions. They are skipped if the client has none. */
export const clientSessionChecks: readonly Check<ClientUnderTest>[] = [
  {
    section: "Sessions",
    sentence:
      "Both sides announce parameters, integers: `bytes`, how much a side keeps of what it has sent until the other acknowledges it, at least 65,536; and `window_ms`, how long the server keeps a suspended session, 0 from a client.",
    async run(client) {
      const { request } = await newSession(client);
      const { bytes, window_ms } = (request["extensions"] as Record<string, Record<string, unknown>>)["resume"] ?? {};
      assert.ok(Number.isSafeInteger(bytes) && Number(bytes) >= 65_536, `bytes is ${String(bytes)}`);
      assert.equal(window_ms, 0);
    },
  },
  {
    section: ACKS,
    sentence: "`SESSION_ACK` says in `received` how many bytes its sender has received of the session.",
    async run(client) {
      const session = await newSession(client);
      await answer(session.peer);
      await acknowledges(session.peer, sentBytes(session));
    },
  },
  {
    section: ACKS,
    sentence: "A number above what was sent ends the connection with `FLOW_CONTROL_ERROR` (7019).",
    async run(client) {
      const { peer } = await newSession(client);
      peer.send(Type.SESSION_ACK, { received: 1_000_000 });
      await isClosedWith(peer, 7019);
    },
  },
  {
    section: RESUMING,
    sentence: "The client logs in as always, with the same credentials, and adds to `AUTH_REQUEST`:",
    async run(client) {
      const session = await newSession(client);
      await answer(session.peer);
      await acknowledges(session.peer, sentBytes(session));
      const { request } = await resumed(client, session, 0);
      assert.deepEqual(request["resume"], { token: SUCCESS.session_token, received: sentBytes(session) });
    },
  },
  {
    section: RESUMING,
    sentence:
      "Behind `AUTH_SUCCESS`, each side sends what it has sent beyond the other side's count, and then goes on.",
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
    sentence: "So a client sends a `SESSION_ACK` at once.",
    async run(client) {
      const session = await newSession(client);
      const call = await frameOf(session.peer, Type.RPC_REQUEST);
      const { peer } = await resumed(client, session, receivedBytes(session));
      assert.equal(typeName(await frameOf(peer)), "SESSION_ACK");
      peer.send(Type.RPC_RESPONSE, { success: true, result: { text: "hello" } }, { id: call.id });
      assert.equal((await frameOf(peer, Type.MESSAGE)).payload?.["type"], "result");
    },
  },
];
