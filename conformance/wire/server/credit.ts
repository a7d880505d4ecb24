import assert from "node:assert/strict";
import { call, frame, message, Type } from "../../../packages/core/src/test-support/raw-frames.ts";
import type { RawPeer } from "../../../packages/core/src/test-support/raw-peer.ts";
import { type Check, frameOf, isAlive, isClosedWith } from "../check.ts";
import type { ServerUnderTest } from "../server-under-test.ts";

const SECTION = "Credit";
const GRANT = { frames: 1000, bytes: 16 * 1024 * 1024 };

interface Grant {
  readonly frames: number;
  readonly bytes: number;
}

/** A raw client that has logged in with `credit`, and what the server grants. */
async function login(server: ServerUnderTest): Promise<[RawPeer, Grant]> {
  await server.needsExtension("credit", GRANT);
  return server.loginAs({ reply: true, close: true, cancel: true, credit: GRANT }, "credit");
}

/** Frames and bytes of the CREDIT frames that came. */
function returned(peer: RawPeer): Grant {
  let frames = 0;
  let bytes = 0;
  for (const { type, payload } of peer.frames.all) {
    if (type !== Type.CREDIT) continue;
    frames += Number(payload?.["frames"]);
    bytes += Number(payload?.["bytes"]);
  }
  return { frames, bytes };
}

export const creditChecks: readonly Check<ServerUnderTest>[] = [
  {
    section: SECTION,
    sentence: "The first grant is in the parameters of `credit` at login, integers of at least 1:",
    async run(server) {
      const [, { frames, bytes }] = await login(server);
      assert.ok(Number.isSafeInteger(frames) && frames >= 1, `frames is ${frames}`);
      assert.ok(Number.isSafeInteger(bytes) && bytes >= 1, `bytes is ${bytes}`);
    },
  },
  {
    section: SECTION,
    sentence:
      "A receiver returns the credit of a frame when the application has taken it: its handler has started, or it was refused, cancelled or dropped.",
    async run(server) {
      const [peer, grant] = await login(server);
      const frames = Math.min(grant.frames, 20_000);
      // As many as were granted, in two halves: the second may only be sent if the first came back.
      const unknown = message("nobody_handles_this", null);
      let sent = 0;
      for (let half = 0; half < 3; half += 1) {
        peer.write(...Array.from({ length: Math.ceil(frames / 2) }, () => unknown));
        sent += Math.ceil(frames / 2);
        await isAlive(peer);
      }
      const back = returned(peer);
      assert.ok(grant.frames >= 20_000 || back.frames >= sent - grant.frames, `${back.frames} of ${sent} came back`);
      assert.ok(back.frames <= sent, "More came back than was sent");
      assert.equal(back.bytes, back.frames * unknown.length);
    },
  },
  {
    section: SECTION,
    sentence: "Replies and all other frames need none.",
    async run(server) {
      const [peer, grant] = await login(server);
      for (let count = 0; count < Math.min(grant.frames, 2000) + 1; count += 1)
        peer.write(frame(Type.RPC_RESPONSE, {}));
      await isAlive(peer);
      assert.deepEqual(returned(peer), { frames: 0, bytes: 0 });
    },
  },
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
  {
    section: SECTION,
    sentence:
      "`CREDIT` gives credit back: `{frames, bytes}`, integers of at least 0, are added to what the sender has left.",
    async run(server) {
      const [peer] = await login(server);
      for (const payload of [{ frames: 1, bytes: 1 }, {}, { frames: -1, bytes: 1 }, { frames: 0.5, bytes: 0 }]) {
        peer.send(Type.CREDIT, payload);
      }
      await isAlive(peer);
    },
  },
];
