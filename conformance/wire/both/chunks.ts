import assert from "node:assert/strict";
import type { RawPeer } from "../../../packages/core/src/test-support/raw-peer.ts";
import { call, chunksOf, frame, Type, typeName } from "../../../packages/core/src/testing/raw-frames.ts";
import { answerTo, type Check, frameOf, isAlive, isClosedWith } from "../check.ts";
import { GRANT } from "./credit.ts";
import type { Login } from "./login.ts";

const SECTION = "Chunks";
export const CHUNK: Announced = { messages: 8, bytes: 16 * 1024 * 1024 };
const LENGTH = 200_000;
const ACK_NOW = 0x8000;

interface Announced {
  readonly messages: number;
  readonly bytes: number;
}

export const echo = (id: bigint, count = LENGTH): Uint8Array => call(id, "echo", { text: "x".repeat(count) });

/**
 * Calls `echo` with `count` bytes, and acknowledges the answer late, as far as permitted, with `ackBytes` if given.
 * @param unacknowledged number of bytes received before and not acknowledged yet
 * @returns number of bytes that are still unacknowledged at the end
 */
async function receives(peer: RawPeer, count: number, ackBytes?: number, unacknowledged = 0): Promise<number> {
  peer.write(...chunksOf(echo(5n, count), 1));
  for (let left = count; left > 0; ) {
    const { flags, payloadBytes } = await frameOf(peer, Type.CHUNK);
    left -= payloadBytes.length;
    unacknowledged += payloadBytes.length;
    if (unacknowledged < 131_072 && (flags & ACK_NOW) === 0) continue;
    peer.send(Type.CHUNK_ACK, { bytes: ackBytes ?? unacknowledged });
    unacknowledged = 0;
  }
  return unacknowledged;
}

/** Checks of chunks, for servers and clients. */
export function chunkChecks<Target>(login: Login<Target>): readonly Check<Target>[] {
  const loggedIn = async (target: Target): Promise<[RawPeer, Announced]> => {
    const base = { reply: true, close: true, cancel: true, call: true, credit: GRANT };
    const { peer, theirs } = await login(target, { ...base, chunk: CHUNK });
    return [peer, theirs["chunk"] as Announced];
  };

  /** A check that the other side ends the connection on these chunks. */
  const ends = (sentence: string, code: number, chunks: () => Uint8Array[]): Check<Target> => ({
    section: SECTION,
    sentence,
    async run(target) {
      const [peer] = await loggedIn(target);
      peer.write(...chunks());
      await isClosedWith(peer, code);
    },
  });

  return [
    {
      section: SECTION,
      sentence:
        "Each side says at login how many frames of the other may be unfinished at a time, and how many bytes these may declare in their headers, together and with headers: integers of at least 1.",
      async run(target) {
        const [, { messages, bytes }] = await loggedIn(target);
        assert.ok(Number.isSafeInteger(messages) && messages >= 1, `messages is ${messages}`);
        assert.ok(Number.isSafeInteger(bytes) && bytes >= 1, `bytes is ${bytes}`);
      },
    },
    {
      section: SECTION,
      sentence:
        "With `chunk`, a frame whose payload is larger than 65,536 bytes is sent in parts, so that small frames and heartbeats pass.",
      async run(target) {
        const [peer] = await loggedIn(target);
        peer.write(...chunksOf(echo(5n), 1));
        let left = LENGTH;
        while (left > 0) {
          const { type, payloadBytes } = await frameOf(peer);
          if (type === Type.CHUNK_ACK) continue;
          assert.equal(typeName({ type }), "CHUNK");
          assert.ok(payloadBytes.length <= 65_536, `A chunk has ${payloadBytes.length} bytes`);
          left -= payloadBytes.length;
          peer.send(Type.CHUNK_ACK, { bytes: payloadBytes.length });
        }
      },
    },
    {
      section: SECTION,
      sentence:
        "Smaller frames may be sent so, too. The bytes of the frame, header included, are the payloads of `CHUNK` frames of 1 to 65,536 bytes, in order.",
      async run(target) {
        const [peer] = await loggedIn(target);
        const bytes = echo(5n, 1000);
        peer.write(...chunksOf(bytes.subarray(0, 40), 9n, 1), ...chunksOf(bytes.subarray(40), 9n));
        const answer = await answerTo(peer, 5n);
        assert.equal(String(Object(answer.payload?.["result"]).text).length, 1000);
      },
    },
    {
      section: SECTION,
      sentence:
        "The frame is complete when all bytes have come that its header declares, and is then handled as if it had arrived at that moment.",
      async run(target) {
        const [peer] = await loggedIn(target);
        const chunks = chunksOf(echo(5n, 1000), 1n, 500);
        peer.write(...chunks.slice(0, -1), call(6n, "echo", { n: 6 }));
        assert.equal((await frameOf(peer)).id, 6n);
        peer.write(chunks.at(-1) as Uint8Array);
        assert.equal((await frameOf(peer)).id, 5n);
      },
    },
    {
      section: SECTION,
      sentence: "Chunks of several frames may be mixed in any way.",
      async run(target) {
        const [peer] = await loggedIn(target);
        const first = chunksOf(echo(5n, 1000), 1n, 100);
        const second = chunksOf(echo(6n, 1000), 0xffff_ffff_ffff_ffffn, 100);
        peer.write(...first.flatMap((chunk, index) => [chunk, second[index] as Uint8Array]));
        // Replies may arrive in any order.
        const ids = [(await frameOf(peer)).id, (await frameOf(peer)).id];
        assert.deepEqual(new Set(ids), new Set([5n, 6n]));
      },
    },
    {
      section: SECTION,
      sentence:
        "A `CHUNK` without a payload aborts its frame: the receiver drops what it has of it, and answers nothing.",
      async run(target) {
        const [peer, { messages }] = await loggedIn(target);
        for (let id = 1; id <= messages + 1; id += 1) {
          peer.write(chunksOf(echo(5n), id)[0] as Uint8Array, frame(Type.CHUNK, undefined, { id }));
        }
        peer.write(...chunksOf(echo(6n, 1000), 1));
        assert.equal((await answerTo(peer, 6n)).type, Type.RPC_RESPONSE);
        assert.ok(!peer.frames.all.some(({ id }) => id === 5n), "An aborted call was answered");
      },
    },
    {
      section: SECTION,
      sentence: "It is ignored if no frame with its id is unfinished.",
      async run(target) {
        const [peer] = await loggedIn(target);
        peer.write(frame(Type.CHUNK, undefined, { id: 3 }), ...chunksOf(echo(5n, 1000), 3));
        peer.write(frame(Type.CHUNK, undefined, { id: 3 }));
        assert.equal((await answerTo(peer, 5n)).type, Type.RPC_RESPONSE);
        await isAlive(peer);
      },
    },
    ends(
      "It may be a `MESSAGE`, `RPC_REQUEST`, `RPC_RESPONSE`, `RPC_ERROR`, `RPC_LIST` or, from a server, a frame of a topic; another type ends the connection with `UNKNOWN_FRAME_TYPE`.",
      7002,
      () => chunksOf(frame(Type.HEARTBEAT_PING), 1),
    ),
    ends("A frame that isn't in parts and has a larger payload ends it with `MESSAGE_TOO_LARGE`.", 7003, () => [
      frame(Type.MESSAGE, undefined, { length: 65_537 }),
    ]),
    ends(
      "The rest of a chunk behind the end of its frame, and id 0, end the connection with `INVALID_PAYLOAD_SHAPE`; the header of the frame is judged like any other as soon as it is complete.",
      7013,
      () => chunksOf(Buffer.concat([echo(5n, 1000), Buffer.alloc(1)]), 1),
    ),
    ends(
      "All have the same correlation id, which their sender chooses: not 0, and none that another unfinished frame of this sender has.",
      7013,
      () => chunksOf(echo(5n), 0),
    ),
    {
      section: SECTION,
      sentence: "A frame beyond that ends the connection with `FLOW_CONTROL_ERROR`.",
      async run(target) {
        const [peer, { messages }] = await loggedIn(target);
        for (let id = 1; id <= messages; id += 1) peer.write(chunksOf(echo(BigInt(id), 100), id, 50)[0] as Uint8Array);
        await isAlive(peer);
        peer.write(chunksOf(echo(99n, 100), messages + 1, 50)[0] as Uint8Array);
        await isClosedWith(peer, 7019);
      },
    },
    {
      section: SECTION,
      sentence:
        "A receiver sends one for each 131,072 bytes or less, and for a chunk with the flag `0x8000` (`ACK_NOW`), at once.",
      async run(target) {
        const [peer] = await loggedIn(target);
        peer.write(...chunksOf(echo(5n), 1).slice(0, 2));
        let bytes = 0;
        while (bytes < 131_072) bytes += Number((await frameOf(peer, Type.CHUNK_ACK)).payload?.["bytes"]);
        assert.equal(bytes, 131_072);
        const [chunk] = chunksOf(echo(6n, 100), 2, 50) as [Uint8Array];
        new DataView(chunk.buffer).setUint16(8, 0x8000);
        peer.write(chunk);
        assert.equal((await frameOf(peer, Type.CHUNK_ACK)).payload?.["bytes"], 50);
      },
    },
    {
      section: SECTION,
      sentence: "It must not need an acknowledgement of the last 131,071 bytes without the flag.",
      async run(target) {
        const [peer] = await loggedIn(target);
        await receives(peer, 1_000_000);
      },
    },
    {
      section: SECTION,
      sentence: "An acknowledgement of more than was sent counts as one of all.",
      async run(target) {
        const [peer] = await loggedIn(target);
        const unacknowledged = await receives(peer, 1_000_000, 1_000_000_000);
        await receives(peer, 1_000_000, undefined, unacknowledged);
      },
    },
  ];
}
