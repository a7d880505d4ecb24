import assert from "node:assert/strict";
import type { RawPeer } from "../../../packages/core/src/test-support/raw-peer.ts";
import { call, Type } from "../../../packages/core/src/testing/raw-frames.ts";
import { creditChecks, GRANT, type Grant } from "../both/credit.ts";
import { type Check, frameOf, isAlive, isClosedWith } from "../check.ts";
import { loggedIn, type ServerUnderTest } from "../server-under-test.ts";

const SECTION = "Credit";

/** A raw client that has logged in with `credit`, and what the server grants. */
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
      // Queued behind handlers that wait, so that the credit doesn't come back.
      for (let id = 1; id <= grant.frames + 5000; id += 1) peer.write(call(BigInt(id), "wait"));
      await isClosedWith(peer, 7019);
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
      const answer = await frameOf(peer, Type.RPC_ERROR);
      assert.deepEqual([answer.id, answer.payload?.["code"]], [id, 1003]);
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
