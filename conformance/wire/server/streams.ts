import assert from "node:assert/strict";
import { encode } from "@msgpack/msgpack";
import type { RawPeer } from "../../../packages/core/src/test-support/raw-peer.ts";
import { frame, type HeaderFields, rawFrame, Type, typeName } from "../../../packages/core/src/testing/raw-frames.ts";
import { answerTo, type Check, frameOf, isAlive, isClosedWith } from "../check.ts";
import type { ServerUnderTest } from "../server-under-test.ts";

const INPUT = 0x0120;
const OUTPUT = 0x0121;
const INPUT_END = 0x0122;
const INPUT_CREDIT = 0x0123;
const OUTPUT_CREDIT = 0x0124;
const INPUT_STOP = 0x0125;
const STREAM_ACK = 0x0126;

const MIB = 1024 * 1024;
const CREDIT = { credit: { frames: 1000, bytes: 16 * MIB } };
const STREAM = { streams: 10, overdraft: 32 * MIB };
const WITHOUT = { close: true, cancel: true, ...CREDIT };
const WITH = { ...WITHOUT, stream: STREAM };

/** A raw client with `stream`, of a server that has the stream `wire_echo`. */
async function login(server: ServerUnderTest): Promise<RawPeer> {
  await server.needsExtension("stream", STREAM, CREDIT);
  return server.loginFor("wire_echo", WITH);
}

/** Calls `wire_echo` with an input, and waits until that is open. */
async function opened(server: ServerUnderTest, output = 100_000): Promise<[RawPeer, number]> {
  const peer = await login(server);
  const id = { id: 5 };
  peer.write(frame(Type.RPC_REQUEST, { method: "wire_echo", output, input: true, params: {} }, id));
  const { payload } = await frameOf(peer, INPUT_CREDIT);
  return [peer, Number(payload?.["bytes"])];
}

const item = (value: unknown, fields: HeaderFields = { id: 5 }): Uint8Array => rawFrame(INPUT, encode(value), fields);
const end = (): Uint8Array => frame(INPUT_END, undefined, { id: 5 });

/** A check that each of these calls is answered with the code. */
function answers(
  sentence: string,
  code: number,
  calls: readonly [method: string, keys: object][],
): Check<ServerUnderTest> {
  return {
    section: "Opening",
    sentence,
    async run(server) {
      const peer = await login(server);
      for (const [index, [method, keys]] of calls.entries()) {
        peer.write(frame(Type.RPC_REQUEST, { method, ...keys, params: {} }, { id: 9 + index }));
        const { type, payload } = await answerTo(peer, 9n + BigInt(index));
        assert.deepEqual([typeName({ type }), payload?.["code"]], ["RPC_ERROR", code]);
      }
      await isAlive(peer);
    },
  };
}

/** A check that the server ends the connection at each of these. */
function ends(
  section: string,
  sentence: string,
  code: number,
  ...attempts: ((credit: number) => Uint8Array[])[]
): Check<ServerUnderTest> {
  return {
    section,
    sentence,
    async run(server) {
      for (const frames of attempts) {
        const [peer, credit] = await opened(server, 1);
        peer.write(...frames(credit));
        await isClosedWith(peer, code);
      }
    },
  };
}

const MISMATCH =
  "A method that returns an output and is called without `output`, one that returns a result and is called with it, and one that takes no input and is called with `input`, answer with `STREAM_MISMATCH` (4013).";
const NO_STREAM =
  "An `INPUT` or `INPUT_END` for an input that isn't open, a second `INPUT_END`, an `OUTPUT` or `INPUT_CREDIT` for a call that isn't waiting for its reply or has no such stream, ends the connection with `UNKNOWN_STREAM` (7022).";

export const streamChecks: readonly Check<ServerUnderTest>[] = [
  {
    section: "Opening",
    sentence:
      "For a call with an output it is the end of the output, and comes behind all its items: an `RPC_RESPONSE` with the result nil, or an `RPC_ERROR`.",
    async run(server) {
      const [peer] = await opened(server);
      peer.write(item(1), item("two"), end());
      const bytes: number[] = [];
      for (;;) {
        const answer = await answerTo(peer, 5n);
        if (answer.type !== OUTPUT) {
          assert.deepEqual([typeName(answer), answer.payload?.["result"]], ["RPC_RESPONSE", null]);
          break;
        }
        bytes.push(...answer.payloadBytes);
      }
      assert.deepEqual(bytes, [...encode(1), ...encode("two")]);
    },
  },
  {
    section: "Opening",
    sentence:
      "Without the extension, and in a request without an id, these keys are answered with `INVALID_PAYLOAD_SHAPE`; those of a plain peer are ignored.",
    async run(server) {
      await login(server);
      const peer = await server.loginFor("wire_echo", WITHOUT);
      peer.write(frame(Type.RPC_REQUEST, { method: "wire_echo", output: 100, params: {} }, { id: 9 }));
      const { payload } = await answerTo(peer, 9n);
      assert.equal(payload?.["code"], 7013);
    },
  },
  answers(MISMATCH, 4013, [
    ["echo", { output: 100 }],
    ["wire_echo", {}],
    ["echo", { input: true }],
  ]),
  {
    section: "Input",
    sentence: "`INPUT_STOP` says that the handler takes no more input.",
    async run(server) {
      const [peer] = await opened(server);
      peer.write(rawFrame(INPUT, new Uint8Array([0xc1]), { id: 5 }));
      await frameOf(peer, INPUT_STOP);
      peer.write(end());
      await isAlive(peer);
    },
  },
  {
    section: "Items",
    sentence:
      "With the flag `0x0040` (`BINARY`), it is the content of one binary item instead, without MessagePack's header.",
    async run(server) {
      const [peer] = await opened(server);
      peer.write(rawFrame(INPUT, new Uint8Array([1, 2, 3]), { id: 5, flags: 0x0040 }), end());
      const { payloadBytes } = await frameOf(peer, OUTPUT);
      assert.deepEqual([...payloadBytes], [...encode(new Uint8Array([1, 2, 3]))]);
    },
  },
  {
    section: "Items",
    sentence:
      "With the flag `0x2000` (`MORE`), the last item of the frame isn't complete: it goes on in the next frame of its stream, which has the same `BINARY` flag, up to the first frame without `MORE`.",
    async run(server) {
      const [peer] = await opened(server);
      const text = encode("together".repeat(10_000));
      const [first, rest] = [text.subarray(0, 65_536), text.subarray(65_536)];
      peer.write(rawFrame(INPUT, first, { id: 5, flags: 0x2000 }), rawFrame(INPUT, rest, { id: 5 }), end());
      const part = await frameOf(peer, OUTPUT);
      peer.send(STREAM_ACK, { bytes: 32 + part.payloadBytes.length });
      const parts = [part, await frameOf(peer, OUTPUT)];
      assert.deepEqual(Buffer.concat(parts.map(({ payloadBytes }) => payloadBytes)), Buffer.from(text));
    },
  },
  ends(
    "Items",
    "A frame with `MORE` has 65,536 bytes of payload; fewer end the connection with `INVALID_PAYLOAD_SHAPE`.",
    7013,
    () => [rawFrame(INPUT, new Uint8Array(65_535), { id: 5, flags: 0x2000 })],
  ),
  ends("Credit of streams", "Items without credit end the connection with `FLOW_CONTROL_ERROR`.", 7019, (credit) =>
    Array.from({ length: 2 + Math.ceil(credit / 60_000) }, () => rawFrame(INPUT, new Uint8Array(60_000), { id: 5 })),
  ),
  ends(
    "Frames without a stream",
    NO_STREAM,
    7022,
    () => [end(), end()],
    () => [item(1, { id: 6 })],
  ),
  {
    section: "Frames without a stream",
    sentence: "`OUTPUT_CREDIT`, `INPUT_STOP` and `PROGRESS` may cross the end of the call and are ignored then.",
    async run(server) {
      const peer = await login(server);
      peer.send(OUTPUT_CREDIT, { bytes: 100 }, { id: 77 });
      peer.send(INPUT_STOP, undefined, { id: 77 });
      await isAlive(peer);
    },
  },
];
