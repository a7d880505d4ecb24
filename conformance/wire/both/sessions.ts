import assert from "node:assert/strict";
import type { RawPeer } from "../../../packages/core/src/test-support/raw-peer.ts";
import { HEADER_BYTES, Type } from "../../../packages/core/src/testing/raw-frames.ts";
import { type Check, frameOf, isClosedWith } from "../check.ts";

export const ACKS = "Acknowledgements";
export const RESUMING = "Resuming";
/** Minimum number of bytes that a side must be able to keep. */
export const MIN_KEPT_BYTES = 65_536;

/** A session on one of its streams. */
export interface SessionStream {
  readonly peer: RawPeer;
  /** Number of chunks that this side had sent when the session started or resumed. */
  readonly sentBefore: number;
}

/** Returns the number of session bytes sent over a stream. */
export function sentBytes({ peer, sentBefore }: SessionStream): number {
  return peer.sent.slice(sentBefore).reduce((sum, { length }) => sum + length, 0);
}

/**
 * Returns the number of session bytes that arrived in whole frames over a stream, after the login's last frame (of
 * this type).
 */
export function receivedBehind({ peer }: SessionStream, lastOfLogin: number): number {
  const all = peer.frames.all;
  const behind = all.slice(all.findIndex(({ type }) => type === lastOfLogin) + 1);
  return behind.reduce((sum, { payloadBytes }) => sum + HEADER_BYTES + payloadBytes.length, 0);
}

/** Resolves with `received` of the next acknowledgement. */
export async function nextAck({ peer }: SessionStream): Promise<number> {
  return Number((await frameOf(peer, Type.SESSION_ACK)).payload?.["received"]);
}

/** Waits for the other side's acknowledgements, up to one for this number of bytes. */
export async function acknowledges(stream: SessionStream, bytes: number): Promise<void> {
  for (let received = 0; received !== bytes; ) {
    received = await nextAck(stream);
    assert.ok(received <= bytes, `It acknowledges ${received} bytes of ${bytes}`);
  }
}

/** A check that the other side ends the connection on an acknowledgement of bytes that it hasn't sent. */
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
