import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { call, rawFrame, Type } from "../../../packages/core/src/testing/raw-frames.ts";
import { type Check, frameOf, isAlive, Skipped } from "../check.ts";
import { ACKS, acknowledges, MIN_KEPT_BYTES, receivedBehind, type SessionStream, sentBytes } from "./sessions.ts";

/** Longer than a receiver may delay an acknowledgement. */
const LATE_MS = 1500;
const PART = 50_000;

/** A session, the other side's limit on kept bytes, and the last frame of the login. */
export interface KeptSession extends SessionStream {
  readonly keptBytes: number;
  readonly lastOfLogin: number;
}

/** Checks of the bytes that a side keeps and of its acknowledgements, for servers and clients. */
export const sessionLimitChecks = <Target>(
  begin: (target: Target) => Promise<KeptSession>,
): readonly Check<Target>[] => [
  {
    section: ACKS,
    sentence: "It doesn't send one only because acknowledgements have arrived.",
    async run(target) {
      const session = await begin(target);
      const { peer, lastOfLogin } = session;
      await isAlive(peer);
      await acknowledges(session, sentBytes(session));
      const before = peer.frames.all.length;
      peer.send(Type.SESSION_ACK, { received: receivedBehind(session, lastOfLogin) });
      await sleep(LATE_MS);
      const acks = peer.frames.all.slice(before).filter(({ type }) => type === Type.SESSION_ACK);
      assert.equal(acks.length, 0, "It acknowledges acknowledgements");
    },
  },
  {
    section: ACKS,
    sentence: "A side keeps about `bytes`; then what it sends waits for acknowledgements, except for these.",
    patienceMs: 30_000,
    async run(target) {
      const session = await begin(target);
      const { peer, keptBytes, lastOfLogin } = session;
      const calls = Math.ceil((4 * keptBytes) / PART);
      if (calls > 500) throw new Skipped(`the other side keeps ${keptBytes} bytes`);
      for (let id = 1; id <= calls; id += 1) peer.write(call(id, "echo", { text: "x".repeat(PART) }));
      // Acknowledgements overtake waiting frames.
      await acknowledges(session, sentBytes(session));
      const kept = receivedBehind(session, lastOfLogin);
      assert.ok(kept < 2 * keptBytes, `It has sent ${kept} bytes without an acknowledgement`);
      const answers = (): number => peer.frames.all.filter(({ type }) => type === Type.RPC_RESPONSE).length;
      while (answers() < calls) {
        peer.send(Type.SESSION_ACK, { received: receivedBehind(session, lastOfLogin) });
        await frameOf(peer, Type.RPC_RESPONSE);
      }
    },
  },
  {
    section: ACKS,
    sentence: "It ends the connection with `FLOW_CONTROL_ERROR` if it has to keep twice as much.",
    options: { resume: { maxBytes: 65_536 } },
    patienceMs: 60_000,
    async run(target) {
      const session = await begin(target);
      const { peer, keptBytes } = session;
      if (keptBytes > 131_072) throw new Skipped(`the other side keeps ${keptBytes} bytes`);
      let isOver = false;
      void peer.over.then(() => {
        isOver = true;
      });
      // Its acknowledgements don't wait, so they are what it must keep.
      const skipped = rawFrame(0x8000, new Uint8Array(16_384));
      const acknowledged = (): number => Number(peer.frames.all.at(-1)?.payload?.["received"] ?? 0);
      let sent = sentBytes(session);
      for (let count = 0; count < 20_000 && !isOver; count += 1) {
        peer.write(skipped);
        sent += skipped.length;
        // Few frames in flight, so that it can't acknowledge many of them at once.
        do await new Promise((resolve) => setImmediate(resolve));
        while (sent - acknowledged() > MIN_KEPT_BYTES && !isOver);
      }
      assert.ok(isOver, "It keeps without limit");
      const closing = peer.frames.all.find(({ type }) => type === Type.CLOSE);
      if (closing !== undefined) assert.equal(closing.payload?.["code"], 7019);
    },
  },
];
