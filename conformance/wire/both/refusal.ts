import assert from "node:assert/strict";
import type { RawPeer } from "../../../packages/core/src/test-support/raw-peer.ts";
import { frame, Type } from "../../../packages/core/src/testing/raw-frames.ts";
import { type Check, frameOf, isAlive } from "../check.ts";
import type { Login } from "./login.ts";

const SECTION = "Refused messages";
const EXTENSIONS = { close: true, call: true, refusal: true };
const REPORT_REFUSAL = 0x1000;

/** A call without a reply of an unknown method. */
const unknownCall = (flags: number): Uint8Array =>
  frame(Type.RPC_REQUEST, { method: "nobody_has_this", params: {} }, { flags });

/** Makes the other side close by sending a frame of an unknown type. Resolves with the payload of CLOSE. */
async function closes(peer: RawPeer): Promise<Readonly<Record<string, unknown>>> {
  peer.write(frame(0x7000));
  return (await frameOf(peer, Type.CLOSE)).payload ?? {};
}

function refusals(peer: RawPeer): Readonly<Record<string, unknown>>[] {
  return peer.frames.all.filter(({ type }) => type === Type.REFUSED).map(({ payload }) => payload ?? {});
}

/** Checks of messages and calls without a reply, for servers and clients. */
export const refusalChecks = <Target>(login: Login<Target>): readonly Check<Target>[] => [
  {
    section: SECTION,
    sentence:
      "The receiver sends `REFUSED` with the message type or method as `name` (empty if the payload wasn't read), the error's `code` and text, and `failure_id` if the handler failed inside.",
    async run(target) {
      const { peer } = await login(target, EXTENSIONS);
      peer.write(unknownCall(REPORT_REFUSAL));
      const { name, code, error, count } = (await frameOf(peer, Type.REFUSED)).payload ?? {};
      assert.deepEqual([name, code, typeof error, count], ["nobody_has_this", 4000, "string", 1]);
    },
  },
  {
    section: SECTION,
    sentence: "`count` is the number of failures that the frame stands for.",
    async run(target) {
      const { peer } = await login(target, EXTENSIONS);
      peer.write(...Array.from({ length: 5 }, () => unknownCall(REPORT_REFUSAL)));
      await closes(peer);
      assert.equal(
        refusals(peer).reduce((sum, { count }) => sum + Number(count), 0),
        5,
      );
    },
  },
  {
    section: SECTION,
    sentence: "Without the flag, or without `refusal`, nothing is sent.",
    async run(target) {
      const { peer } = await login(target, EXTENSIONS);
      peer.write(unknownCall(0));
      await closes(peer);
      const other = (await login(target, { close: true, call: true })).peer;
      other.write(unknownCall(REPORT_REFUSAL));
      await closes(other);
      assert.deepEqual([refusals(peer), refusals(other)], [[], []]);
    },
  },
  {
    section: "Closing",
    sentence:
      "With `refusal`, `taken` is the number of frames with the flag `REPORT_REFUSAL` that the side which closes has taken since the login: each was handled, or answered with `REFUSED`.",
    async run(target) {
      const { peer } = await login(target, EXTENSIONS);
      const flagged = frame(Type.MESSAGE, { type: "chat", data: 1 }, { flags: REPORT_REFUSAL });
      peer.write(flagged, frame(Type.MESSAGE, { type: "chat", data: 2 }), unknownCall(REPORT_REFUSAL), flagged);
      await isAlive(peer);
      const { taken } = await closes(peer);
      if (taken !== undefined) assert.equal(taken, 3);
    },
  },
];
