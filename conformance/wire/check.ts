/** A sentence of PROTOCOL.md with its check. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { RawPeer } from "../../packages/core/src/test-support/raw-peer.ts";
import { frame, type ReceivedFrame, Type, typeName } from "../../packages/core/src/testing/raw-frames.ts";

export interface Check<Target> {
  /** Heading of the sentence's section in PROTOCOL.md. */
  readonly section: string;
  /** As in PROTOCOL.md, in one line, with links replaced by their text. A table row counts as a sentence. */
  readonly sentence: string;
  /** Time limit with a peer's default options, if longer than for other checks. */
  readonly patienceMs?: number;
  /** Options for this library's peers that make the check possible or faster. */
  readonly options?: Readonly<Record<string, unknown>>;
  /** Connects over TLS. */
  readonly tls?: true;
  /** The peers appear to be on different machines (see `outsideAddress`). */
  readonly outside?: true;
  /** The server has a store and can be killed and restarted. */
  readonly store?: true;
  /** Throws if the peer violates the sentence; throws {@link Skipped} if the check doesn't apply. */
  run(target: Target): Promise<void>;
}

/** Much longer than a turn of an event loop. */
const MOMENT_MS = 20;

/** The peer lacks something that the check requires. */
export class Skipped extends Error {}

/** Resolves with the next frame of a type, by default of any type except HEARTBEAT_PING. Fails if the connection ends first. */
export async function frameOf(peer: RawPeer, type?: number): Promise<ReceivedFrame> {
  const wanted = type === undefined ? "a frame" : typeName({ type });
  const ended = peer.over.then(async (how) => {
    // Finds a frame that arrived together with the end.
    await new Promise((resolve) => setImmediate(resolve));
    const came = peer.frames.all.map(typeName).join(", ") || "nothing";
    throw new Error(`The connection ended (${how}) without ${wanted}; received: ${came}`);
  });
  return Promise.race([peer.next(type), ended]);
}

/** Describes the frames received from peers, for a report. */
export function receivedBy(peers: readonly RawPeer[]): string {
  return peers.map(({ frames }) => frames.all.map(typeName).join(", ") || "nothing").join("; ") || "nothing";
}

/** Resolves with the next frame that has this id. */
export async function answerTo(peer: RawPeer, id: bigint): Promise<ReceivedFrame> {
  for (;;) {
    const answer = await frameOf(peer);
    if (answer.id === id) return answer;
  }
}

/**
 * Checks that the peer answers a HEARTBEAT_PING, and another one a moment later, which reveals what it does in later
 * turns of its event loop. Returns the frames before the last answer.
 */
export async function isAlive(peer: RawPeer): Promise<ReceivedFrame[]> {
  const before = await untilPong(peer);
  await sleep(MOMENT_MS);
  return [...before, ...(await untilPong(peer))];
}

async function untilPong(peer: RawPeer): Promise<ReceivedFrame[]> {
  const id = 0x7fff_0000_0000_0001n + BigInt(peer.sent.length);
  peer.send(Type.HEARTBEAT_PING, undefined, { id });
  const before: ReceivedFrame[] = [];
  for (;;) {
    const received = await frameOf(peer);
    if (received.type === Type.HEARTBEAT_PONG && received.id === id) return before;
    before.push(received);
  }
}

/** Checks that the peer answers PINGs in order, even if they arrive in one write with earlier frames. */
export async function answersPingsInOrder(peer: RawPeer, ...earlier: Uint8Array[]): Promise<void> {
  const sent = [3n, 1n, 2n];
  peer.write(...earlier, ...sent.map((id) => frame(Type.HEARTBEAT_PING, undefined, { id })));
  const answered: bigint[] = [];
  for (const _ of sent) answered.push((await frameOf(peer, Type.HEARTBEAT_PONG)).id);
  assert.deepEqual(answered, sent);
}

/** Checks that the peer sends CLOSE with this code and ends the connection. */
export async function isClosedWith(peer: RawPeer, code: number): Promise<void> {
  const { payload } = await frameOf(peer, Type.CLOSE);
  assert.equal(payload?.["code"], code, `The code in CLOSE is ${String(payload?.["code"])}, not ${code}`);
  peer.send(Type.CLOSE_ACK);
  await peer.over;
}

/** Checks that the connection ends without a further frame. */
export async function endsSilently(peer: RawPeer): Promise<void> {
  await peer.over;
  assert.deepEqual(peer.frames.all.map(typeName), [], "Frames came before the end");
}
