import assert from "node:assert/strict";
import type { RawPeer } from "../../../packages/core/src/test-support/raw-peer.ts";
import { frame, message, Type } from "../../../packages/core/src/testing/raw-frames.ts";
import { type Check, frameOf, isAlive, Skipped } from "../check.ts";
import type { Login } from "./login.ts";

export const GRANT: Grant = { frames: 1000, bytes: 16 * 1024 * 1024 };
const SECTION = "Credit";

export interface Grant {
  readonly frames: number;
  readonly bytes: number;
}

/** Returns the total credit in the received CREDIT frames. */
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

/** Checks of credit, for servers and clients. */
export function creditChecks<Target>(login: Login<Target>): readonly Check<Target>[] {
  const loggedIn = async (target: Target): Promise<[RawPeer, Grant]> => {
    const { peer, theirs } = await login(target, { reply: true, close: true, cancel: true, call: true, credit: GRANT });
    return [peer, theirs["credit"] as Grant];
  };
  return [
    {
      section: "Frames",
      sentence: "All other frames are sent with 0, those of the login too, and their receiver ignores it.",
      async run(target) {
        const [peer] = await loggedIn(target);
        peer.send(Type.CREDIT, { frames: 0, bytes: 0 }, { id: 5n });
        await isAlive(peer);
      },
    },
    {
      section: SECTION,
      sentence: "The first grant is in the parameters of `credit` at login, integers of at least 1:",
      async run(target) {
        const [, { frames, bytes }] = await loggedIn(target);
        assert.ok(Number.isSafeInteger(frames) && frames >= 1, `frames is ${frames}`);
        assert.ok(Number.isSafeInteger(bytes) && bytes >= 1, `bytes is ${bytes}`);
      },
    },
    {
      section: SECTION,
      sentence:
        "A receiver returns the credit of a frame when the application has taken it: its handler has started, or it was refused, cancelled or dropped.",
      async run(target) {
        const [peer, grant] = await loggedIn(target);
        const frames = Math.min(grant.frames, 20_000);
        // As many as granted, in two halves: the second may only be sent after credit for the first was returned.
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
      async run(target) {
        const [peer, grant] = await loggedIn(target);
        for (let count = 0; count < Math.min(grant.frames, 2000) + 1; count += 1)
          peer.write(frame(Type.RPC_RESPONSE, {}));
        await isAlive(peer);
        assert.deepEqual(returned(peer), { frames: 0, bytes: 0 });
      },
    },
    {
      section: SECTION,
      sentence:
        "`CREDIT` gives credit back: `{frames, bytes}`, integers of at least 0, are added to what the sender has left.",
      async run(target) {
        const [peer] = await loggedIn(target);
        for (const payload of [{ frames: 1, bytes: 1 }, {}, { frames: -1, bytes: 1 }, { frames: 0.5, bytes: 0 }]) {
          peer.send(Type.CREDIT, payload);
        }
        await isAlive(peer);
      },
    },
    {
      section: SECTION,
      sentence:
        "It may gather credit, up to half of the grant; this library returns it when half of the frames, or 512 KiB, have been used and taken.",
      async run(target) {
        const [peer, grant] = await loggedIn(target);
        const unknown = message("nobody_handles_this", null);
        const sent = Math.floor(grant.frames / 2) + 1;
        if (sent > 10_000) throw new Skipped(`the other side grants ${grant.frames} frames`);
        peer.write(...new Array<Uint8Array>(sent).fill(unknown));
        while (sent - returned(peer).frames > Math.floor(grant.frames / 2)) await frameOf(peer, Type.CREDIT);
      },
    },
  ];
}
