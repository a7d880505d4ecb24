import assert from "node:assert/strict";
import { frame, rawFrame, Type } from "../../../packages/core/src/testing/raw-frames.ts";
import { type Check, frameOf, isAlive, isClosedWith } from "../check.ts";
import type { ServerUnderTest } from "../server-under-test.ts";

const GARBAGE = Uint8Array.of(0xc1);

function ping(fields: Parameters<typeof frame>[2] = {}): Uint8Array {
  return frame(Type.HEARTBEAT_PING, undefined, fields);
}

/** A check that each of these frames, sent after the login, ends the connection with this code. */
function ends(section: string, sentence: string, code: number, ...frames: Uint8Array[]): Check<ServerUnderTest> {
  return {
    section,
    sentence,
    async run(server) {
      for (const bytes of frames) {
        const peer = await server.login(["close"]);
        peer.write(bytes);
        await isClosedWith(peer, code);
      }
    },
  };
}

/** A check that frames sent after the login are ignored. */
function ignored(section: string, sentence: string, ...frames: Uint8Array[]): Check<ServerUnderTest> {
  return {
    section,
    sentence,
    async run(server) {
      const peer = await server.login(["close"]);
      peer.write(...frames);
      assert.deepEqual(await isAlive(peer), [], "Frames came that answer the ignored ones");
    },
  };
}

/** A check that a PING with each of these flags is answered. */
function tolerated(sentence: string, ...flags: number[]): Check<ServerUnderTest> {
  return {
    section: "Flags",
    sentence,
    async run(server) {
      const peer = await server.login(["close"]);
      for (const flag of flags) {
        peer.write(ping({ flags: flag, id: 9n }));
        assert.equal((await frameOf(peer, Type.HEARTBEAT_PONG)).id, 9n);
      }
    },
  };
}

const flagged = (...flags: number[]): Uint8Array[] => flags.map((flag) => ping({ flags: flag }));

export const frameChecks: readonly Check<ServerUnderTest>[] = [
  {
    section: "Frames",
    sentence:
      "Frame boundaries don't coincide with reads from the stream: a read may end inside a frame, and may bring any number of frames.",
    async run(server) {
      const peer = await server.login(["close"]);
      for (const byte of ping({ id: 1n })) {
        peer.write(Uint8Array.of(byte));
        await new Promise((resolve) => setImmediate(resolve));
      }
      peer.write(ping({ id: 2n }), ping({ id: 3n }), ping({ id: 4n }));
      const ids: bigint[] = [];
      for (let count = 0; count < 4; count++) ids.push((await frameOf(peer, Type.HEARTBEAT_PONG)).id);
      assert.deepEqual(ids, [1n, 2n, 3n, 4n]);
    },
  },
  {
    section: "Frames",
    sentence: "| 10 | 2 | reserved | 0 when sent, ignored when received |",
    async run(server) {
      const peer = await server.login(["close"]);
      peer.write(ping({ reserved: 0xbeef, id: 5n }));
      assert.equal((await frameOf(peer, Type.HEARTBEAT_PONG)).id, 5n);
    },
  },
  {
    section: "Frames",
    sentence: "| 16 | 8 | correlation id | 0 for none; a reply repeats all 64 bits unchanged |",
    async run(server) {
      const peer = await server.login(["close"]);
      for (const id of [0xfedc_ba98_7654_3210n, 0xffff_ffff_ffff_ffffn, 0x8000_0000_0000_0000n, 1n]) {
        peer.write(ping({ id }));
        assert.equal((await frameOf(peer, Type.HEARTBEAT_PONG)).id, id);
      }
    },
  },
  {
    section: "Frames",
    sentence: "| 24 | 8 | timestamp | the sender's Unix time in milliseconds; informative |",
    async run(server) {
      const peer = await server.login(["close"]);
      const odd = ping({ id: 6n });
      new DataView(odd.buffer).setBigUint64(24, 0xffff_ffff_ffff_ffffn);
      peer.write(odd);
      assert.equal((await frameOf(peer, Type.HEARTBEAT_PONG)).id, 6n);
    },
  },
  ignored("Frame types", "| `0x000c` | `ACK` | none | neither; ignored after login |", frame(Type.ACK)),
  ignored(
    "Frame types",
    "| `0x000d` | `NACK` | none, or `{reason: str}` | neither; ignored after login |",
    frame(Type.NACK),
    frame(Type.NACK, { reason: "no" }),
  ),
  {
    section: "Frame types",
    sentence:
      "A frame of an extension that isn't in force, or that only the other side sends by this table, ends the connection with `UNEXPECTED_FRAME`.",
    async run(server) {
      for (const [extensions, bytes] of [
        [["close"], frame(Type.CANCEL, undefined, { id: 1n })],
        [["close", "ready"], frame(Type.READY)],
        [["close", "drain"], frame(Type.DRAIN, { ends_in_ms: 1, retry_after_ms: 1 })],
      ] as const) {
        const peer = await server.login(extensions);
        peer.write(bytes);
        await isClosedWith(peer, 7014);
      }
    },
  },
  ends(
    "Frame types",
    "A frame of an unknown type below `0x8000` ends it with `UNKNOWN_FRAME_TYPE`.",
    7002,
    frame(0x0000),
    frame(0x0011),
    frame(0x7fff),
  ),
  ignored(
    "Frame types",
    "Types from `0x8000` up are optional: after the login, a receiver skips a frame of an unknown optional type, whatever its payload within the size limit of frames, and counts it.",
    frame(0x8000),
    rawFrame(0xffff, GARBAGE, { id: 3n }),
  ),
  ends("Flags", "| `0x0002` | `ENCRYPTED` | unused; a frame with this flag is rejected |", 7016, ...flagged(0x0002)),
  ends("Flags", "| `0x0010` | `FRAGMENT` | unused; a frame with this flag is rejected |", 7016, ...flagged(0x0010)),
  ends(
    "Flags",
    "| `0x0020` | `LAST_FRAGMENT` | unused; a frame with this flag is rejected |",
    7016,
    ...flagged(0x0020),
  ),
  tolerated("| `0x0004` | `REQUIRE_ACK` | unused; ignored |", 0x0004),
  tolerated("| `0x0008` | `PRIORITY` | unused; ignored |", 0x0008),
  tolerated("| `0x0040` | `BINARY` | of `INPUT` and `OUTPUT`, see Items; ignored elsewhere |", 0x0040),
  ends(
    "Flags",
    "Bits `0x0080` to `0x0800` are reserved for flags that change how a payload is read; a frame with one of them is rejected with `UNSUPPORTED_FLAG`.",
    7016,
    ...flagged(0x0080, 0x0100, 0x0200, 0x0400, 0x0800),
  ),
  tolerated(
    "Bits `0x1000` to `0x8000` are hints; unknown ones are ignored. `MORE` is more than a hint. All of them are ignored in frames that they aren't for.",
    ...[0x1000, 0x2000, 0x4000, 0x8000, 0xf000],
  ),
  ends(
    "Fatal errors",
    "| 7000 | `BAD_MAGIC` | a frame doesn't start with the magic number; checked byte by byte |",
    7000,
    ping({ magic: 0x48545450 }),
    Uint8Array.of(0x43, 0x4e, 0x44, 0x55),
    Uint8Array.of(0x47),
  ),
  ends("Fatal errors", "| 7001 | `UNSUPPORTED_VERSION` | unsupported version |", 7001, ping({ version: 0x0200 })),
  ends(
    "Fatal errors",
    "| 7003 | `MESSAGE_TOO_LARGE` | length in the header exceeds the limit or, with `chunk`, a frame of more than 65,536 bytes that isn't in chunks |",
    7003,
    frame(Type.MESSAGE, undefined, { length: 0xffff_ffff }),
  ),
  ends(
    "Fatal errors",
    "| 7014 | `UNEXPECTED_FRAME` | login frame after the login, a frame of an extension that isn't in force, or one that the other side sends |",
    7014,
    frame(Type.AUTH_REQUEST, {}),
    frame(Type.AUTH_SUCCESS, {}),
    frame(Type.AUTH_CHALLENGE, {}),
    frame(Type.CANCEL),
  ),
];
