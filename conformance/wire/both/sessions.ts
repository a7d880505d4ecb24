import assert from "node:assert/strict";
import type { RawPeer } from "../../../packages/core/src/test-support/raw-peer.ts";
import { HEADER_BYTES, Type } from "../../../packages/core/src/testing/raw-frames.ts";
import { type Check, frameOf, isClosedWith } from "../check.ts";

export const ACKS = "Acknowledgements";
export const RESUMING = "Resuming";
/** The least that a side may keep. */
export const MIN_KEPT_BYTES = 65_536;

/** A session over one of its streams. */
export interface SessionStream {
  readonly peer: RawPeer;
  /** Chunks that this side had sent when the session began or went on. */
  readonly sentBefore: number;
}

/** Bytes of the session that were sent over a stream. */
export function sentBytes({ peer, sentBefore }: SessionStream): number {
  return peer.sent.slice(sentBefore).reduce((sum, { length }) => sum + length, 0);
}

/** Bytes of the session that arrived over a stream in whole frames: behind the frame of this type, the login's last. */
export function receivedBehind({ peer }: SessionStream, lastOfLogin: number): number {
  const all = peer.frames.all;
  const behind = all.slice(all.findIndex(({ type }) => type === lastOfLogin) + 1);
  return behind.reduce((sum, { payloadBytes }) => sum + HEADER_BYTES + payloadBytes.length, 0);
}

/** `received` of the next acknowledgement. */
export async function nextAck({ peer }: SessionStream): Promise<number> {
  return Number((await frameOf(peer, Type.SESSION_ACK)).payload?.["received"]);
}

/** The acknowledgements of the other side, up to one of this many bytes. */
export async function acknowledges(stream: SessionStream, bytes: number): Promise<void> {
  for (let received = 0; received !== bytes; ) {
    received = await nextAck(stream);
    assert.ok(received <= bytes, `It acknowledges ${received} bytes of ${bytes}`);
  }
}

/** A check that the other side ends the connection at an acknowledgement of bytes that it hasn't sent. */
export function tooLargeAckCheck<Target>(newSession: (target: Target) => Promise<SessionStream>): Check<Target> {
  return {
    section: ACKS,
    sentence: "A number above what was sent ends the connection with `FLOW_CONTROL_ERROR` (7019).",
    async run(target) {
      const { peer } = await newSession(target);
      peer.send(Type.SESSION_ACK, { received: 1_000_000 });
      await isClosedWith(peer, 7019);
    },
  };
}
