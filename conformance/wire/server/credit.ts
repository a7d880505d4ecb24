import assert from "node:assert/strict";
import type { RawPeer } from "../../../packages/core/src/test-support/raw-peer.ts";
import { call, Type } from "../../../packages/core/src/testing/raw-frames.ts";
import { creditChecks, GRANT, type Grant } from "../both/credit.ts";
import { answerTo, type Check, frameOf, isAlive, Skipped } from "../check.ts";
import { loggedIn, type ServerUnderTest } from "../server-under-test.ts";

const SECTION = "Credit";

/** Logs in a raw client with `credit`. Returns it with the server's grant. */
async function login(server: ServerUnderTest): Promise<[RawPeer, Grant]> {
  const { peer, theirs } = await loggedIn(server, { reply: true, close: true, cancel: true, credit: GRANT });
  return [peer, theirs["credit"] as Grant];
}

export const serverCreditChecks: readonly Check<ServerUnderTest>[] = [
  ...creditChecks(loggedIn),
  {
    section: SECTION,
    sentence: "A frame that the receiver gave no credit for ends the connection with `FLOW_CONTROL_ERROR` (7019).",
    async run(server) {
      const [peer, grant] = await login(server);
      const waits = await server.loginFor("wait");
      await waits.dispose();
      // Queued behind waiting handlers, so that the credit isn't returned.
      const beyond = 5000;
      for (let id = 1; id <= grant.frames + beyond; id += 1) peer.write(call(BigInt(id), "wait"));
      for (let returned = 0; ; ) {
        const { type, payload } = await frameOf(peer);
        if (type === Type.CREDIT) returned += Number(payload?.["frames"]);
        if (returned >= beyond) throw new Skipped(`the server starts more than ${beyond} handlers of 'wait'`);
        if (type !== Type.CLOSE) continue;
        assert.equal(payload?.["code"], 7019);
        return;
      }
    },
  },
  {
    section: SECTION,
    sentence:
      "`CANCEL`, `CREDIT`, `CLOSE` and heartbeats are obeyed whatever is full, and send queues put them before everything that waits.",
    async run(server) {
      const [peer, grant] = await login(server);
      await (await server.loginFor("wait")).dispose();
      for (let id = 1; id <= grant.frames; id += 1) peer.write(call(BigInt(id), "wait"));
      await isAlive(peer);
      const id = BigInt(grant.frames);
      peer.send(Type.CANCEL, undefined, { id });
      // A handler that is already running may still answer with a result.
      const { type, payload } = await answerTo(peer, id);
      assert.ok(type === Type.RPC_RESPONSE || payload?.["code"] === 1003, `The answer is ${JSON.stringify(payload)}`);
    },
  },
  {
    section: SECTION,
    sentence: "A sender may send while it has credit for at least one frame and one byte.",
    async run(server) {
      await server.needsExtension("credit", GRANT);
      const [peer] = await server.loginAs({ reply: true, close: true, credit: { frames: 1, bytes: 1 } }, "credit");
      peer.call("echo", { text: "replies need none" }, 5);
      assert.equal((await frameOf(peer, Type.RPC_RESPONSE)).id, 5n);
      peer.send(Type.CREDIT, { frames: 0, bytes: 0 });
      await isAlive(peer);
    },
  },
];
