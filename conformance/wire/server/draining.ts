import assert from "node:assert/strict";
import type { RawPeer } from "../../../packages/core/src/test-support/raw-peer.ts";
import { call, frame, type ReceivedFrame, Type, typeName } from "../../../packages/core/src/testing/raw-frames.ts";
import { RESUMING, sentBytes } from "../both/sessions.ts";
import { answerTo, type Check, frameOf, isAlive } from "../check.ts";
import type { ServerUnderTest } from "../server-under-test.ts";
import { cut, newSession, OFFER, receivedBytes, resume, resumedAt } from "./sessions.ts";

const SECTION = "Draining";
const EXTENSIONS = { close: true, cancel: true, drain: true };
const WAIT = 9n;

/** Stops a server that has an unanswered call of `wait`. Returns the peer and the server's DRAIN. */
async function stopping(server: ServerUnderTest): Promise<{ readonly peer: RawPeer; readonly drain: ReceivedFrame }> {
  await server.needsExtension("drain");
  const peer = await server.loginFor("wait", EXTENSIONS);
  peer.write(call(WAIT, "wait"));
  await isAlive(peer);
  server.stop();
  return { peer, drain: await frameOf(peer, Type.DRAIN) };
}

function refused({ type, payload }: ReceivedFrame): void {
  const { started, retry_after } = (payload?.["details"] ?? {}) as Readonly<Record<string, unknown>>;
  assert.deepEqual([typeName({ type }), payload?.["code"], started], ["RPC_ERROR", 5017, false]);
  assert.equal(typeof retry_after, "number");
}

/** Checks of a stopping server. Skipped if the runner can't stop it. */
export const drainingChecks: readonly Check<ServerUnderTest>[] = [
  {
    section: SECTION,
    sentence:
      "With `drain`, a server that stops sends `DRAIN` to its clients before it closes: `ends_in_ms` is the time until then, at most, and `retry_after_ms` says how long after that a client should wait before it reconnects.",
    async run(server) {
      const { peer, drain } = await stopping(server);
      const { ends_in_ms, retry_after_ms } = drain.payload ?? {};
      for (const ms of [ends_in_ms, retry_after_ms]) {
        assert.ok(Number.isSafeInteger(ms) && Number(ms) >= 0, `DRAIN has ${JSON.stringify(drain.payload)}`);
      }
      assert.deepEqual((await isAlive(peer)).map(typeName), []);
    },
  },
  {
    section: SECTION,
    sentence:
      "Everything before `DRAINED` is handled as always; the server refuses later requests with `SERVER_STOPPING`.",
    async run(server) {
      const { peer } = await stopping(server);
      peer.write(call(1n, "echo", { a: 1 }), frame(Type.DRAINED), call(2n, "echo", { a: 2 }));
      const answers = [await frameOf(peer), await frameOf(peer)];
      const [first, second] = [1n, 2n].map((id) => answers.find((answer) => answer.id === id)) as ReceivedFrame[];
      assert.deepEqual(first?.payload?.["result"], { a: 1 });
      refused(second as ReceivedFrame);
    },
  },
  {
    section: SECTION,
    sentence:
      "The server sends `CLOSE` when everything that its clients sent before their `DRAINED` has been answered, or when its time is up.",
    async run(server) {
      const { peer } = await stopping(server);
      peer.send(Type.DRAINED);
      assert.deepEqual((await isAlive(peer)).map(typeName), [], "It closed before it had answered");
      peer.send(Type.CANCEL, undefined, { id: WAIT });
      assert.equal((await frameOf(peer)).id, WAIT);
      const closing = await frameOf(peer);
      assert.deepEqual([typeName(closing), closing.payload?.["code"]], ["CLOSE", 5017]);
    },
  },
  {
    section: SECTION,
    sentence: "A client without `drain` isn't notified, and its requests are rejected from then on.",
    async run(server) {
      const other = await server.loginFor("wait", { close: true });
      other.write(call(WAIT, "wait"));
      const before = other.frames.all.length;
      await stopping(server);
      other.write(call(1n, "echo", { a: 1 }));
      refused(await answerTo(other, 1n));
      assert.deepEqual(other.frames.all.slice(before).map(typeName), ["RPC_ERROR"]);
    },
  },
  {
    section: RESUMING,
    sentence:
      "So a server that stops sends `CLOSE` when its client has acknowledged everything, if there is time, and lets clients whose streams are lost resume until then; a client that has received `DRAIN` acknowledges within 20 ms.",
    async run(server) {
      await server.needsExtension("drain");
      await (await server.loginFor("echo")).dispose();
      const session = await newSession(server, { ...OFFER, call: true, drain: true });
      await server.callOn(session.peer, "echo", { a: 1 }, 7n);
      server.stop();
      await frameOf(session.peer, Type.DRAIN);
      session.peer.send(Type.DRAINED);
      const before = await isAlive(session.peer);
      assert.ok(!before.some(({ type }) => type === Type.CLOSE), "It closed before everything was acknowledged");
      await cut(session);
      const again = await resume(server, session.token, receivedBytes(session));
      assert.equal(resumedAt(again), sentBytes(session));
      again.peer.send(Type.SESSION_ACK, { received: receivedBytes(session) });
      for (;;) {
        const { type, payload } = await frameOf(again.peer);
        again.peer.send(Type.SESSION_ACK, { received: receivedBytes(session) + receivedBytes(again) });
        if (type !== Type.CLOSE) continue;
        assert.equal(payload?.["code"], 5017);
        break;
      }
    },
  },
];
