/** A sentence of PROTOCOL.md, and how to check it on a peer. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { RawPeer } from "../../packages/core/src/test-support/raw-peer.ts";
import { frame, type ReceivedFrame, Type, typeName } from "../../packages/core/src/testing/raw-frames.ts";

export interface Check<Target> {
  /** The heading in PROTOCOL.md that the sentence stands under. */
  readonly section: string;
  /** As in PROTOCOL.md, in one line and with the text of its links alone. A row of a table is a sentence. */
  readonly sentence: string;
  /** How long it may take with a peer's defaults, if that is longer than for other checks. */
  readonly patienceMs?: number;
  /** Options of this library's peers by which it takes less time, or is possible. */
  readonly options?: Readonly<Record<string, unknown>>;
  /** The peer is reached over TLS. */
  readonly tls?: true;
  /** The peers seem to be on two machines: see `outsideAddress`. */
  readonly outside?: true;
  /** The server has a store, and can be killed and started again. */
  readonly store?: true;
  /** Throws if the peer breaks the sentence, or {@link Skipped}. */
  run(target: Target): Promise<void>;
}

/** Much longer than a turn of an event loop. */
const MOMENT_MS = 20;

/** The peer lacks something that the check needs. */
export class Skipped extends Error {}

/** The next frame of a type, or of any type but HEARTBEAT_PING. Fails if the connection ends first. */
export async function frameOf(peer: RawPeer, type?: number): Promise<ReceivedFrame> {
  const wanted = type === undefined ? "a frame" : typeName({ type });
  const ended = peer.over.then(async (how) => {
    // A frame that came together with the end is found first.
    await new Promise((resolve) => setImmediate(resolve));
    const came = peer.frames.all.map(typeName).join(", ") || "nothing";
    throw new Error(`The connection ended (${how}) without ${wanted}; received: ${came}`);
  });
  return Promise.race([peer.next(type), ended]);
}

/** The frames that came from peers, for a report. */
export function receivedBy(peers: readonly RawPeer[]): string {
  return peers.map(({ frames }) => frames.all.map(typeName).join(", ") || "nothing").join("; ") || "nothing";
}

/** The next frame with this id. */
export async function answerTo(peer: RawPeer, id: bigint): Promise<ReceivedFrame> {
  for (;;) {
    const answer = await frameOf(peer);
    if (answer.id === id) return answer;
  }
}

/**
 * The peer still answers a HEARTBEAT_PING, and another one a moment later: so what it does in later turns of its event loop
 * shows. Returns the frames before the last answer.
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

/** The peer answers PINGs in their order, also when they come in one write with earlier frames. */
export async function answersPingsInOrder(peer: RawPeer, ...earlier: Uint8Array[]): Promise<void> {
  const sent = [3n, 1n, 2n];
  peer.write(...earlier, ...sent.map((id) => frame(Type.HEARTBEAT_PING, undefined, { id })));
  const answered: bigint[] = [];
  for (const _ of sent) answered.push((await frameOf(peer, Type.HEARTBEAT_PONG)).id);
  assert.deepEqual(answered, sent);
}

/** The peer says this code in CLOSE, and ends the connection. */
export async function isClosedWith(peer: RawPeer, code: number): Promise<void> {
  const { payload } = await frameOf(peer, Type.CLOSE);
  assert.equal(payload?.["code"], code, `The code in CLOSE is ${String(payload?.["code"])}, not ${code}`);
  peer.send(Type.CLOSE_ACK);
  await peer.over;
}

/** The connection ends, and no frame comes before. */
export async function endsSilently(peer: RawPeer): Promise<void> {
  await peer.over;
  assert.deepEqual(peer.frames.all.map(typeName), [], "Frames came before the end");
}
