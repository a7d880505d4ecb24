import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { ScramClient } from "../../../packages/core/src/test-support/scram-by-rfc.ts";
import { frame, Type } from "../../../packages/core/src/testing/raw-frames.ts";
import { sessionLimitChecks } from "../both/session-limits.ts";
import { RESUMING, sentBytes } from "../both/sessions.ts";
import { type Check, frameOf, isAlive, Skipped } from "../check.ts";
import type { ServerUnderTest } from "../server-under-test.ts";
import { assertExpired, cut, newSession, receivedBytes, resume, resumedAt, suspendedSession } from "./sessions.ts";

/** Maximum number of connections that these checks use to fill a server. */
const MAX_PLACES = 300;

function resumeParams(success: Readonly<Record<string, unknown>>): {
  readonly bytes: number;
  readonly window_ms: number;
} {
  return (success["extensions"] as Record<string, { bytes: number; window_ms: number }>)["resume"] as {
    bytes: number;
    window_ms: number;
  };
}

/** Logs in until the server is full. Returns the rejection's payload. */
async function fill(server: ServerUnderTest): Promise<Readonly<Record<string, unknown>>> {
  for (let count = 0; count < MAX_PLACES; count += 1) {
    const peer = await server.dial();
    const scram = new ScramClient(server.password);
    peer.send(Type.AUTH_REQUEST, { scram: scram.clientFirst, extensions: {} });
    const challenge = await frameOf(peer);
    if (challenge.type === Type.AUTH_FAILURE) return challenge.payload ?? {};
    peer.send(Type.AUTH_RESPONSE, { data: scram.answer(String(challenge.payload?.["data"])) });
    const answer = await frameOf(peer);
    if (answer.type === Type.AUTH_FAILURE) return answer.payload ?? {};
  }
  throw new Skipped(`the server has more than ${MAX_PLACES} places`);
}

/** Checks of suspended sessions. */
export const suspendedChecks: readonly Check<ServerUnderTest>[] = [
  ...sessionLimitChecks<ServerUnderTest>(async (server) => {
    await (await server.loginFor("echo")).dispose();
    const session = await newSession(server);
    return { ...session, keptBytes: resumeParams(session.success).bytes, lastOfLogin: Type.AUTH_SUCCESS };
  }),
  {
    section: "Counting",
    sentence:
      "A byte counts as received when the receiver has taken it, into the frame that it belongs to or a queue in front of that; the rest of a frame that was cut comes over the next stream.",
    async run(server) {
      const session = await newSession(server);
      await isAlive(session.peer);
      const before = sentBytes(session);
      const ping = frame(Type.HEARTBEAT_PING, undefined, { id: 9n });
      session.peer.write(ping.subarray(0, 20));
      session.peer.end();
      await session.peer.over;
      const again = await resume(server, session.token, receivedBytes(session));
      const taken = Number(resumedAt(again)) - before;
      assert.ok(taken >= 0 && taken <= 20, `It has received ${taken} of 20 bytes`);
      again.peer.write(ping.subarray(taken));
      assert.equal((await frameOf(again.peer, Type.HEARTBEAT_PONG)).id, 9n);
    },
  },
  {
    section: RESUMING,
    sentence:
      "If the login succeeds, the server knows a session with this token, of the same identity, `received` is possible, and the server's program doesn't refuse, the session continues.",
    async run(server) {
      const session = await newSession(server);
      await isAlive(session.peer);
      await cut(session);
      const again = await resume(server, session.token, receivedBytes(session));
      assert.equal(resumedAt(again), sentBytes(session));
      await isAlive(again.peer);
      const other = await suspendedSession(server);
      assertExpired(await resume(server, other.token, 1));
    },
  },
  {
    section: RESUMING,
    sentence:
      "A session waits for its client for `window_ms`, and ends with `SESSION_EXPIRED` (5023) then, or sooner, when a new client needs its place.",
    options: { resume: { windowMs: 400 } },
    patienceMs: 200_000,
    async run(server) {
      const session = await suspendedSession(server);
      await sleep(resumeParams(session.success).window_ms + 500);
      assertExpired(await resume(server, session.token, 0));
    },
  },
  {
    section: RESUMING,
    sentence: "A server takes a session's client back also when it is full.",
    options: { maxConnections: 4 },
    async run(server) {
      const session = await newSession(server);
      await isAlive(session.peer);
      assert.equal((await fill(server))["code"], 3010);
      await cut(session);
      const again = await resume(server, session.token, receivedBytes(session));
      assert.equal(resumedAt(again), sentBytes(session));
    },
  },
  {
    section: "AUTH_FAILURE",
    sentence: "| 3010 | `SERVER_FULL` | the server has its maximum number of clients |",
    options: { maxConnections: 4 },
    async run(server) {
      assert.equal((await fill(server))["code"], 3010);
    },
  },
  {
    section: RESUMING,
    sentence:
      "It remembers the counts of sessions that have ended for another `window_ms`, of the last 10,000 tokens at most.",
    async run(server) {
      const session = await newSession(server);
      await isAlive(session.peer);
      session.peer.send(Type.CLOSE, { reason: "done", code: 5010, reconnect: true });
      await session.peer.over;
      const { success } = await resume(server, session.token, receivedBytes(session));
      const { received } = success["expired"] as { readonly received?: unknown };
      assert.ok(Number.isSafeInteger(received), `expired.received is ${String(received)}`);
      assert.ok(Number(received) <= sentBytes(session), "It has received more than was sent");
    },
  },
];
