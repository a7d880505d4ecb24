import assert from "node:assert/strict";
import { ScramClient } from "../../../packages/core/src/test-support/scram-by-rfc.ts";
import { Type } from "../../../packages/core/src/testing/raw-frames.ts";
import { CHUNK } from "../both/chunks.ts";
import { GRANT } from "../both/credit.ts";
import {
  ACKS,
  acknowledges,
  MIN_KEPT_BYTES,
  nextAck,
  RESUMING,
  receivedBehind,
  type SessionStream,
  sentBytes,
  tooLargeAckCheck,
} from "../both/sessions.ts";
import { answerTo, type Check, frameOf, isAlive, Skipped } from "../check.ts";
import type { ServerUnderTest } from "../server-under-test.ts";
import { withToken } from "./tokens.ts";

export const OFFER = { close: true, credit: GRANT, chunk: CHUNK, resume: { bytes: MIN_KEPT_BYTES, window_ms: 0 } };

type Success = Readonly<Record<string, unknown>>;

/** A session on one of its streams. */
export interface Stream extends SessionStream {
  readonly success: Success;
  readonly token: string;
}

/** Logs in with a new session. Skips the check if the server doesn't support sessions. */
export async function newSession(server: ServerUnderTest, offer: object = OFFER): Promise<Stream> {
  const stream = await logIn(server, { extensions: offer });
  if (!Object.hasOwn((stream.success["extensions"] ?? {}) as object, "resume")) {
    throw new Skipped("the server has no sessions");
  }
  return stream;
}

export async function logIn(server: ServerUnderTest, keys: Readonly<Record<string, unknown>>): Promise<Stream> {
  const peer = await server.dial();
  const success = await server.logInAs(peer, new ScramClient(server.password), keys);
  return { peer, success, token: String(success["session_token"]), sentBefore: peer.sent.length };
}

/** Logs in to resume a session, given the number of bytes that this side has received. */
export function resume(
  server: ServerUnderTest,
  token: string,
  received: number,
  extensions: object = OFFER,
): Promise<Stream> {
  return logIn(server, { extensions, resume: { token, received } });
}

/** Returns the number of session bytes that arrived over a stream. */
export function receivedBytes(stream: Stream): number {
  return receivedBehind(stream, Type.AUTH_SUCCESS);
}

/** Ends a stream without CLOSE. */
export async function cut({ peer }: Stream): Promise<void> {
  peer.reset();
  await peer.over;
}

/** Creates a session and cuts its stream before anything is sent. */
export async function suspendedSession(server: ServerUnderTest): Promise<Stream> {
  const session = await newSession(server);
  await cut(session);
  return session;
}

/** The number of received bytes that the server reports for the resumed session. */
export function resumedAt({ success }: Stream): unknown {
  return (success["resumed"] as { readonly received?: unknown } | undefined)?.received;
}

export function assertExpired({ success }: Stream): void {
  assert.ok(!Object.hasOwn(success, "resumed"), "The session went on");
  const { expired } = success;
  assert.ok(typeof expired === "object" && expired !== null && !Array.isArray(expired), "There is no map expired");
}

export const sessionChecks: readonly Check<ServerUnderTest>[] = [
  {
    section: "Sessions",
    sentence:
      "Both sides announce parameters, integers: `bytes`, how much a side keeps of what it has sent until the other acknowledges it, at least 65,536; and `window_ms`, how long the server keeps a suspended session, 0 from a client.",
    async run(server) {
      const { success } = await newSession(server);
      const { bytes, window_ms } = (success["extensions"] as Record<string, Record<string, unknown>>)["resume"] ?? {};
      assert.ok(Number.isSafeInteger(bytes) && Number(bytes) >= MIN_KEPT_BYTES, `bytes is ${String(bytes)}`);
      assert.ok(Number.isSafeInteger(window_ms) && Number(window_ms) > 0, `window_ms is ${String(window_ms)}`);
      const { success: declined } = await logIn(server, {
        extensions: { ...OFFER, resume: { bytes: MIN_KEPT_BYTES - 1, window_ms: 0 } },
      });
      assert.ok(!Object.hasOwn(declined["extensions"] as object, "resume"), "It takes less than 65,536 bytes");
    },
  },
  {
    section: "Counting",
    sentence:
      "The counts begin at 0 behind the login: with the first byte behind `AUTH_SUCCESS` in one direction, and behind `AUTH_RESPONSE` in the other.",
    async run(server) {
      const session = await suspendedSession(server);
      assert.equal(resumedAt(await resume(server, session.token, 0)), 0);
    },
  },
  {
    section: "Counting",
    sentence:
      "They include every frame, heartbeats and acknowledgements too, and go on when the session is resumed, again without the frames of the login.",
    async run(server) {
      const session = await newSession(server);
      await isAlive(session.peer);
      session.peer.send(Type.SESSION_ACK, { received: 0 });
      await isAlive(session.peer);
      await cut(session);
      const again = await resume(server, session.token, receivedBytes(session));
      assert.equal(resumedAt(again), sentBytes(session));
      await isAlive(again.peer);
      await acknowledges(again, sentBytes(session) + sentBytes(again));
    },
  },
  {
    section: ACKS,
    sentence: "`SESSION_ACK` says in `received` how many bytes its sender has received of the session.",
    async run(server) {
      const session = await newSession(server);
      await isAlive(session.peer);
      await acknowledges(session, sentBytes(session));
    },
  },
  tooLargeAckCheck((server) => newSession(server)),
  {
    section: ACKS,
    sentence: "A number below the last one is ignored: it was sent before the session was resumed.",
    async run(server) {
      const session = await newSession(server);
      await isAlive(session.peer);
      for (const received of [receivedBytes(session), 0]) session.peer.send(Type.SESSION_ACK, { received });
      await isAlive(session.peer);
    },
  },
  {
    section: ACKS,
    sentence:
      "A receiver sends one at the latest when a quarter of what the other side keeps (`bytes`), or 262,144 bytes, has arrived since the last, and at the latest a second after something has arrived.",
    async run(server) {
      await (await server.loginFor("echo")).dispose();
      const session = await newSession(server);
      for (let id = 1n, last = 0; id <= 3n; id += 1n) {
        session.peer.call("echo", { text: "x".repeat(MIN_KEPT_BYTES / 4) }, id);
        const received = await nextAck(session);
        assert.ok(received > last, `It acknowledges ${received} bytes after ${last}`);
        last = received;
      }
    },
  },
  {
    section: RESUMING,
    sentence: "`AUTH_SUCCESS` then contains the count of the server, and another token:",
    async run(server) {
      const session = await newSession(server);
      await isAlive(session.peer);
      await cut(session);
      const again = await resume(server, session.token, receivedBytes(session));
      assert.equal(resumedAt(again), sentBytes(session));
      assert.match(again.token, /^[0-9a-f]{64}$/);
      assert.notEqual(again.token, session.token);
    },
  },
  {
    section: RESUMING,
    sentence:
      "Before that, the client sends nothing more: a server ends a connection that does, and the session remains.",
    async run(server) {
      const session = await suspendedSession(server);
      const hasty = await server.dial();
      const scram = new ScramClient(server.password);
      hasty.send(Type.AUTH_REQUEST, {
        scram: scram.clientFirst,
        extensions: OFFER,
        resume: { token: session.token, received: 0 },
      });
      const answer = await server.answered(hasty, scram);
      hasty.write(answer, Uint8Array.from(answer));
      await hasty.over;
      assert.equal(resumedAt(await resume(server, session.token, 0)), 0);
    },
  },
  {
    section: RESUMING,
    sentence:
      "After `AUTH_SUCCESS`, each side repeats the bytes that it has sent beyond the other side's count, and then continues.",
    async run(server) {
      await (await server.loginFor("echo")).dispose();
      const session = await newSession(server);
      await isAlive(session.peer);
      const before = receivedBytes(session);
      await server.callOn(session.peer, "echo", { text: "again" }, 7n);
      await cut(session);
      const again = await resume(server, session.token, before);
      assert.equal((await answerTo(again.peer, 7n)).type, Type.RPC_RESPONSE);
      await isAlive(again.peer);
    },
  },
  {
    section: RESUMING,
    sentence:
      "The agreement of the first login stays in force: the extensions of this login count for nothing, and `READY` isn't sent.",
    async run(server) {
      const session = await suspendedSession(server);
      const again = await resume(server, session.token, 0, { ready: true });
      const before = await isAlive(again.peer);
      assert.ok(!before.some(({ type }) => type === Type.READY), "READY was sent");
      await acknowledges(again, sentBytes(again));
    },
  },
  {
    section: RESUMING,
    sentence:
      "A session that still has a stream, because the server hasn't noticed its end, goes over to the new one; nothing that arrives over the old one counts from then on.",
    async run(server) {
      const session = await newSession(server);
      await isAlive(session.peer);
      const again = await resume(server, session.token, receivedBytes(session));
      assert.equal(resumedAt(again), sentBytes(session));
      const counted = sentBytes(session);
      session.peer.send(Type.HEARTBEAT_PING, undefined, { id: 1n });
      await isAlive(again.peer);
      await acknowledges(again, counted + sentBytes(again));
    },
  },
  {
    section: RESUMING,
    sentence:
      "A token is good until something has arrived over the stream whose login gave the next one: until then, the client may not know the next one.",
    async run(server) {
      const session = await suspendedSession(server);
      const second = await resume(server, session.token, 0);
      await cut(second);
      const third = await resume(server, session.token, 0);
      assert.equal(resumedAt(third), 0);
      await isAlive(third.peer);
      await cut(third);
      assertExpired(await resume(server, session.token, 0));
    },
  },
  {
    section: RESUMING,
    sentence:
      "Further logins with it get the same next token, since they may be late ones from before the client got it.",
    async run(server) {
      const session = await suspendedSession(server);
      const second = await resume(server, session.token, 0);
      await cut(second);
      const third = await resume(server, session.token, 0);
      assert.equal(third.token, second.token);
    },
  },
  {
    section: RESUMING,
    sentence:
      "A login that fails, whatever its code, leaves the session as it is: the client may try again while `window_ms` lasts.",
    async run(server) {
      const session = await suspendedSession(server);
      const peer = await server.dial();
      peer.send(Type.AUTH_REQUEST, {
        scram: "no message of SCRAM",
        extensions: OFFER,
        resume: { token: session.token, received: 0 },
      });
      assert.equal((await frameOf(peer)).type, Type.AUTH_FAILURE);
      assert.equal(resumedAt(await resume(server, session.token, 0)), 0);
    },
  },
  {
    section: RESUMING,
    sentence: "Otherwise the session has *expired*, and the login is that of a new one.",
    async run(server) {
      await newSession(server);
      const fresh = await resume(server, "0".repeat(64), 0);
      assertExpired(fresh);
      assert.ok(Object.hasOwn(fresh.success["extensions"] as object, "resume"), "It has no session");
      await isAlive(fresh.peer);
      await acknowledges(fresh, sentBytes(fresh));
    },
  },
  {
    section: RESUMING,
    sentence: "Without a token (str) and a number of bytes, `resume` counts as absent.",
    async run(server) {
      const { token } = await newSession(server);
      for (const asked of [{ token, received: -1 }, { token, received: "0" }, { token: 7, received: 0 }, { token }]) {
        const { success } = await logIn(server, { extensions: OFFER, resume: asked });
        assert.deepEqual([success["resumed"], success["expired"]], [undefined, undefined]);
      }
    },
  },
  {
    section: RESUMING,
    sentence: "`AUTH_SUCCESS` then contains `expired`, a map, so that the client knows.",
    async run(server) {
      const session = await suspendedSession(server);
      assertExpired(await resume(server, session.token, 1_000_000));
    },
  },
  {
    section: RESUMING,
    sentence:
      "`expired.received` is the number of bytes that the server had received, if it remembers the session: the client knows which of its frames arrived.",
    async run(server) {
      const session = await newSession(server);
      await isAlive(session.peer);
      const sent = sentBytes(session);
      session.peer.send(Type.CLOSE, { reason: "done", code: 5010, reconnect: true });
      await session.peer.over;
      const fresh = await resume(server, session.token, receivedBytes(session));
      const { received } = fresh.success["expired"] as { readonly received?: unknown };
      assert.ok(received === undefined || (Number(received) >= sent && Number(received) <= sentBytes(session)));
    },
  },
  {
    section: RESUMING,
    sentence:
      "With `CLOSE`, from either side, a session ends: what is on its way when the stream is lost then, is lost.",
    async run(server) {
      const session = await newSession(server);
      session.peer.send(Type.CLOSE, { reason: "done", code: 5010, reconnect: true });
      await session.peer.over;
      assertExpired(await resume(server, session.token, 0));
    },
  },
  {
    section: RESUMING,
    sentence: "The token contains no information, and is useless without a login of the same identity.",
    async run(server) {
      const session = await suspendedSession(server);
      const { success } = await withToken(server, "wire:600000", OFFER, {
        resume: { token: session.token, received: 0 },
      });
      assert.ok(!Object.hasOwn(success, "resumed"), "Another identity resumed the session");
    },
  },
];
