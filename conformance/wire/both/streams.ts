import assert from "node:assert/strict";
import { encode } from "@msgpack/msgpack";
import type { RawPeer } from "../../../packages/core/src/test-support/raw-peer.ts";
import {
  frame,
  type HeaderFields,
  type ReceivedFrame,
  rawFrame,
  Type,
  typeName,
} from "../../../packages/core/src/testing/raw-frames.ts";
import { answerTo, type Check, frameOf, isAlive, isClosedWith, Skipped } from "../check.ts";
import type { Login } from "./login.ts";

const INPUT = 0x0120;
const OUTPUT = 0x0121;
const INPUT_END = 0x0122;
const INPUT_CREDIT = 0x0123;
const OUTPUT_CREDIT = 0x0124;
const INPUT_STOP = 0x0125;
const STREAM_ACK = 0x0126;

const MIB = 1024 * 1024;
const CREDIT = { credit: { frames: 1000, bytes: 16 * MIB } };
export const STREAM: Announced = { streams: 10, overdraft: 32 * MIB };
const WITHOUT = { close: true, cancel: true, call: true, ...CREDIT };
const LIMITS = { limits: { message_bytes: 10 * MIB } };
export const WITH_STREAM = { ...WITHOUT, ...LIMITS, stream: STREAM };
const ID = 5n;
const MORE = 0x2000;
const ACK_NOW = 0x8000;
const PART = 65_536;
const HEADER = 32;

interface Announced {
  readonly streams: number;
  readonly overdraft: number;
}

interface Announcements {
  readonly stream: Announced;
  readonly limits: { readonly message_bytes: number };
}

/** A raw peer with a stream of `wire_echo`, open in both directions. */
interface Opened {
  readonly peer: RawPeer;
  /** The input's credit. */
  readonly credit: number;
  readonly theirs: Announcements;
}

/** Calls `wire_echo` with an input and waits until it is open. Skips the check if the stream doesn't exist. */
async function open(peer: RawPeer, output: number, id = ID): Promise<number> {
  peer.write(frame(Type.RPC_REQUEST, { method: "wire_echo", output, input: true, params: {} }, { id }));
  const first = await answerTo(peer, id);
  if (first.payload?.["code"] === 4000) throw new Skipped("there is no stream 'wire_echo'");
  assert.equal(typeName(first), "INPUT_CREDIT");
  return Number(first.payload?.["bytes"]);
}

const item = (value: unknown, fields: HeaderFields = { id: ID }): Uint8Array => rawFrame(INPUT, encode(value), fields);
const end = (): Uint8Array => frame(INPUT_END, undefined, { id: 5 });

function isReply({ type }: ReceivedFrame): boolean {
  return type === Type.RPC_RESPONSE || type === Type.RPC_ERROR;
}

/** Resolves with the bytes of all items up to the reply, which must not be an error. */
async function outputOf(peer: RawPeer): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for (;;) {
    const received = await answerTo(peer, ID);
    if (received.type === OUTPUT) parts.push(received.payloadBytes);
    if (!isReply(received)) continue;
    assert.equal(typeName(received), "RPC_RESPONSE");
    return Buffer.concat(parts);
  }
}

/** Returns the frames of an item. */
function itemParts(bytes: Uint8Array): Uint8Array[] {
  const frames: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; at += PART) {
    const flags = at + PART < bytes.length ? MORE : 0;
    frames.push(rawFrame(INPUT, bytes.subarray(at, at + PART), { id: ID, flags }));
  }
  return frames;
}

/** Returns the number of frames of returned credit for messages and requests. */
function creditOf(peer: RawPeer): number {
  const back = peer.frames.all.filter(({ type }) => type === Type.CREDIT);
  return back.reduce((sum, { payload }) => sum + Number(payload?.["frames"]), 0);
}

/** Resolves with the frames up to the answer to a PING or the end of the connection. */
async function untilIdle(peer: RawPeer): Promise<readonly ReceivedFrame[]> {
  await Promise.race([isAlive(peer).catch(() => undefined), peer.over]);
  return peer.frames.all;
}

/** Sends items as the other side grants credit. */
async function feed(peer: RawPeer, values: readonly unknown[]): Promise<void> {
  let [sent, granted] = [0, 262_144];
  for (const value of values) {
    const next = item(value);
    while (sent > granted) {
      await peer.frames.count(peer.frames.all.length + 1);
      const credits = peer.frames.all.filter(({ type }) => type === INPUT_CREDIT);
      granted = credits.reduce((sum, { payload }) => sum + Number(payload?.["bytes"]), 0);
    }
    peer.write(next);
    sent += next.length;
  }
}

const MISMATCH =
  "A method that returns an output and is called without `output`, one that returns a result and is called with it, and one that takes no input and is called with `input`, answer with `STREAM_MISMATCH` (4013).";
const NO_STREAM =
  "An `INPUT` or `INPUT_END` for an input that isn't open, a second `INPUT_END`, an `OUTPUT` or `INPUT_CREDIT` for a call that isn't waiting for its reply or has no such stream, ends the connection with `UNKNOWN_STREAM` (7022).";

/** Checks of streams, for servers and clients. */
export function streamChecks<Target>(login: Login<Target>): readonly Check<Target>[] {
  const opened = async (target: Target, output = 100_000): Promise<Opened> => {
    const { peer, theirs } = await login(target, WITH_STREAM);
    return { peer, credit: await open(peer, output), theirs: theirs as unknown as Announcements };
  };

  /** A check that each of these calls is answered with the code. */
  function answers(sentence: string, code: number, calls: readonly [method: string, keys: object][]): Check<Target> {
    return {
      section: "Opening",
      sentence,
      async run(target) {
        const { peer } = await opened(target);
        for (const [index, [method, keys]] of calls.entries()) {
          peer.write(frame(Type.RPC_REQUEST, { method, ...keys, params: {} }, { id: 9 + index }));
          const { type, payload } = await answerTo(peer, 9n + BigInt(index));
          assert.deepEqual([typeName({ type }), payload?.["code"]], ["RPC_ERROR", code]);
        }
        await isAlive(peer);
      },
    };
  }

  /** A check that the target ends the connection on each of these. */
  function ends(
    section: string,
    sentence: string,
    code: number,
    ...attempts: ((credit: number) => Uint8Array[])[]
  ): Check<Target> {
    return {
      section,
      sentence,
      async run(target) {
        for (const frames of attempts) {
          const { peer, credit } = await opened(target, 1);
          peer.write(...frames(credit));
          await isClosedWith(peer, code);
        }
      },
    };
  }

  return [
    {
      section: "Opening",
      sentence:
        "For a call with an output it is the end of the output, and comes behind all its items: an `RPC_RESPONSE` with the result nil, or an `RPC_ERROR`.",
      async run(target) {
        const { peer } = await opened(target);
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
      async run(target) {
        await opened(target);
        const { peer } = await login(target, WITHOUT);
        peer.write(frame(Type.RPC_REQUEST, { method: "wire_echo", output: 100, params: {} }, { id: 9 }));
        const { payload } = await answerTo(peer, 9n);
        assert.equal(payload?.["code"], 7013);
      },
    },
    answers("Nil and `false` count as absent; any other value is answered with `INVALID_PAYLOAD_SHAPE`.", 7013, [
      ["wire_echo", { output: 0 }],
      ["wire_echo", { output: 100, input: 1 }],
      ["wire_echo", { output: 100, progress: "yes" }],
    ]),
    answers(MISMATCH, 4013, [
      ["echo", { output: 100 }],
      ["wire_echo", {}],
      ["echo", { input: true }],
    ]),
    {
      section: "Input",
      sentence: "The id of a call with an input may be used again behind `INPUT_END`.",
      async run(target) {
        const { peer } = await opened(target);
        for (let round = 0; round < 2; round += 1) {
          peer.write(end());
          while (!isReply(await answerTo(peer, ID)));
          await open(peer, 1);
        }
      },
    },
    {
      section: "Input",
      sentence: "`INPUT_STOP` says that the handler takes no more input.",
      async run(target) {
        const { peer } = await opened(target);
        peer.write(rawFrame(INPUT, new Uint8Array([0xc1]), { id: 5 }));
        await frameOf(peer, INPUT_STOP);
        peer.write(end());
        await isAlive(peer);
      },
    },
    ends("Compression", "The flag on one of them ends the connection with `UNSUPPORTED_FLAG`.", 7016, () => [
      rawFrame(INPUT, encode(1), { id: ID, flags: 0x0001 }),
    ]),
    {
      section: "Items",
      sentence:
        "With the flag `0x0040` (`BINARY`), it is the content of one binary item instead, without MessagePack's header.",
      async run(target) {
        const { peer } = await opened(target);
        peer.write(rawFrame(INPUT, new Uint8Array([1, 2, 3]), { id: 5, flags: 0x0040 }), end());
        const { payloadBytes, flags } = await frameOf(peer, OUTPUT);
        const item = new Uint8Array([1, 2, 3]);
        assert.deepEqual([...payloadBytes], [...((flags & 0x0040) === 0 ? encode(item) : item)]);
      },
    },
    {
      section: "Items",
      sentence:
        "With the flag `0x2000` (`MORE`), the last item of the frame isn't complete: it continues in the next frame of its stream, which has the same `BINARY` flag, up to the first frame without `MORE`.",
      async run(target) {
        const { peer } = await opened(target);
        const text = encode("together".repeat(10_000));
        const [first, rest] = [text.subarray(0, 65_536), text.subarray(65_536)];
        peer.write(rawFrame(INPUT, first, { id: 5, flags: 0x2000 }), rawFrame(INPUT, rest, { id: 5 }), end());
        const part = await frameOf(peer, OUTPUT);
        peer.send(STREAM_ACK, { bytes: 32 + part.payloadBytes.length });
        const parts = [part, await frameOf(peer, OUTPUT)];
        assert.deepEqual(Buffer.concat(parts.map(({ payloadBytes }) => payloadBytes)), Buffer.from(text));
      },
    },
    {
      section: "Items",
      sentence:
        "A stream that ends within an item, and without an error, fails at its receiver with `TRUNCATED_PAYLOAD`, unless that takes no more items anyway.",
      async run(target) {
        const { peer } = await opened(target);
        peer.write(rawFrame(INPUT, new Uint8Array(PART), { id: ID, flags: MORE | 0x0040 }), end());
        let answer = await answerTo(peer, ID);
        while (!isReply(answer)) answer = await answerTo(peer, ID);
        // The handler may answer with its own error.
        assert.equal(typeName(answer), "RPC_ERROR");
        await isAlive(peer);
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
      async run(target) {
        const { peer } = await opened(target);
        peer.send(OUTPUT_CREDIT, { bytes: 100 }, { id: 77 });
        peer.send(INPUT_STOP, undefined, { id: 77 });
        await isAlive(peer);
      },
    },
    {
      section: "Streams",
      sentence: "Each side says at login how much it takes.",
      async run(target) {
        const { streams, overdraft } = (await opened(target)).theirs.stream;
        for (const number of [streams, overdraft]) assert.ok(Number.isSafeInteger(number) && number >= 1);
      },
    },
    {
      section: "Streams",
      sentence:
        "With `stream`, a call may have an *input*, items from the caller for the side that was called, and an *output*, items for the caller. It may have both, and may be made by either side.",
      async run(target) {
        const { peer } = await opened(target);
        peer.write(item({ a: 1 }), end());
        assert.deepEqual([...(await outputOf(peer))], [...encode({ a: 1 })]);
      },
    },
    {
      section: "Streams",
      sentence:
        "`streams` is the number of calls with an input, an output or `progress` that the other side may have unanswered at a time.",
      options: { maxStreams: 20 },
      async run(target) {
        const { peer, theirs } = await opened(target);
        const { streams } = theirs.stream;
        if (streams > 900) throw new Skipped(`the other side takes ${streams} streams`);
        const call = (id: number): Uint8Array =>
          frame(Type.RPC_REQUEST, { method: "wire_echo", output: 100, input: true, params: {} }, { id });
        peer.write(...Array.from({ length: streams - 1 }, (_, index) => call(100 + index)));
        assert.ok(
          (await isAlive(peer)).every(({ type }) => type !== Type.RPC_ERROR),
          "It refuses what it has announced",
        );
        peer.write(call(99_999));
        const refused = await answerTo(peer, 99_999n);
        assert.deepEqual([typeName(refused), refused.payload?.["code"]], ["RPC_ERROR", 6011]);
        // Answering one call frees a place for another.
        peer.write(end());
        await outputOf(peer);
        peer.write(call(99_998));
        assert.equal(typeName(await answerTo(peer, 99_998n)), "INPUT_CREDIT");
      },
    },
    {
      section: "Opening",
      sentence: "A call beyond `streams` is answered with `TOO_MANY_STREAMS` (6011).",
      options: { maxStreams: 3 },
      async run(target) {
        const { peer, theirs } = await opened(target);
        const { streams } = theirs.stream;
        if (streams > 900) throw new Skipped(`the other side takes ${streams} streams`);
        for (let id = 1; id < streams; id += 1) await open(peer, 100, BigInt(100 + id));
        for (const keys of [
          { method: "wire_echo", output: 100 },
          { method: "echo", progress: true },
        ]) {
          peer.write(frame(Type.RPC_REQUEST, { ...keys, params: {} }, { id: 99 }));
          assert.equal((await answerTo(peer, 99n)).payload?.["code"], 6011);
        }
        // Other calls still work.
        peer.call("echo", {}, 98n);
        assert.equal(typeName(await answerTo(peer, 98n)), "RPC_RESPONSE");
      },
    },
    {
      section: "Items",
      sentence: "Only an item of more than 65,536 bytes is sent so, and nothing else is in these frames.",
      async run(target) {
        const { peer } = await opened(target, 0xffff_ffff);
        const large = encode("x".repeat(70_000));
        const limit = encode("x".repeat(PART - 5));
        assert.equal(limit.length, PART - 2);
        peer.write(item(1), rawFrame(INPUT, limit, { id: ID }), ...itemParts(large), item(2), end());
        const outputs: ReceivedFrame[] = [];
        for (let received = await answerTo(peer, ID); !isReply(received); received = await answerTo(peer, ID)) {
          if (received.type !== OUTPUT) continue;
          outputs.push(received);
          peer.send(STREAM_ACK, { bytes: HEADER + received.payloadBytes.length });
        }
        const at = outputs.findIndex(({ flags }) => (flags & MORE) !== 0);
        const parts = outputs.slice(at, at + 2);
        assert.equal(outputs.filter(({ flags }) => (flags & MORE) !== 0).length, 1);
        assert.deepEqual(Buffer.concat(parts.map(({ payloadBytes }) => payloadBytes)), Buffer.from(large));
      },
    },
    {
      section: "Input",
      sentence: "Items that were on their way are dropped, and so are those that arrive after the reply.",
      async run(target) {
        const { peer } = await opened(target);
        peer.write(rawFrame(INPUT, new Uint8Array([0xc1]), { id: ID }));
        await frameOf(peer, INPUT_STOP);
        peer.write(item(1), item("on its way"), end());
        await isAlive(peer);
        const outputs = peer.frames.all.filter(({ type }) => type === OUTPUT);
        assert.deepEqual(outputs, [], "It handled items behind INPUT_STOP");
      },
    },
    {
      section: "Credit of streams",
      sentence: "A receiver returns credit when the application has taken items.",
      async run(target) {
        const { peer, credit } = await opened(target, 1);
        const items = Math.floor(credit / 60_100);
        peer.write(...Array.from({ length: items }, () => item("x".repeat(60_000))));
        // The output has no credit, so the application only takes one or two items.
        await isAlive(peer);
        const back = (): number => {
          const frames = peer.frames.all.filter(({ type }) => type === INPUT_CREDIT).slice(1);
          return frames.reduce((sum, { payload }) => sum + Number(payload?.["bytes"]), 0);
        };
        assert.ok(back() <= 2 * 60_100, `It returned ${back()} bytes for items that nobody has taken`);
        peer.send(OUTPUT_CREDIT, { bytes: 0x7fff_ffff }, { id: ID });
        for (let at = 0; back() === 0; at += 1) {
          await peer.frames.count(at + 1);
          const { type, payloadBytes } = peer.frames.all[at] as ReceivedFrame;
          if (type === OUTPUT) peer.send(STREAM_ACK, { bytes: HEADER + payloadBytes.length });
        }
      },
    },
    {
      section: "Opening",
      sentence: "The reply ends the streams of its call.",
      async run(target) {
        const { peer } = await opened(target);
        peer.write(frame(Type.CANCEL, undefined, { id: ID }));
        while (!isReply(await answerTo(peer, ID)));
        // These may have been in flight.
        peer.write(item(1), frame(OUTPUT_CREDIT, { bytes: 100 }, { id: ID }), end());
        assert.deepEqual(await isAlive(peer), []);
        peer.write(item(1));
        await isClosedWith(peer, 7022);
      },
    },
    {
      section: "Items",
      sentence:
        "An item, all its parts together, is at most as large as the receiver's `message_bytes`, or else ends the connection with `MESSAGE_TOO_LARGE`.",
      options: { maxMessageBytes: MIB },
      async run(target) {
        const { peer, theirs } = await opened(target);
        const parts = Math.ceil(theirs.limits.message_bytes / PART) + 1;
        const part = rawFrame(INPUT, new Uint8Array(PART), { id: ID, flags: MORE | 0x0040 });
        for (let count = 0; count < parts; count += 1) peer.write(part);
        await isClosedWith(peer, 7003);
      },
    },
    {
      section: "Items",
      sentence: "An item that isn't valid MessagePack ends its stream.",
      async run(target) {
        const { peer } = await opened(target);
        peer.write(item(1), rawFrame(INPUT, new Uint8Array([0xc1]), { id: ID }), end());
        let reply = await answerTo(peer, ID);
        while (!isReply(reply)) reply = await answerTo(peer, ID);
        await isAlive(peer);
      },
    },
    {
      section: "Items",
      sentence:
        "Items arrive and are handled in order. The end of a stream, by `INPUT_END` or by the reply, is seen behind all its items.",
      async run(target) {
        const { peer } = await opened(target);
        const values = Array.from({ length: 500 }, (_, index) => index);
        peer.write(...values.map((value) => item(value)), end());
        assert.deepEqual(
          [...(await outputOf(peer))],
          values.flatMap((value) => [...encode(value)]),
        );
      },
    },
    {
      section: "Input",
      sentence: "The side that was called sends it when the handler starts, if it takes an input.",
      async run(target) {
        assert.ok((await opened(target)).credit >= 1, "The credit is less than a byte");
      },
    },
    {
      section: "Credit of streams",
      sentence: "Frames of streams don't count against `credit`.",
      async run(target) {
        const { peer } = await opened(target, 0xffff_ffff);
        const before = creditOf(peer);
        // More than a raw client's grant.
        peer.write(...Array.from({ length: 2000 }, () => item(1)), end());
        await outputOf(peer);
        await isAlive(peer);
        assert.ok(creditOf(peer) - before <= 1, "It gave credit back for items");
      },
    },
    {
      section: "Credit of streams",
      sentence:
        "A sender may start an item while it has credit of at least one byte, and may complete it: the credit may fall below zero by one item.",
      async run(target) {
        const { peer } = await opened(target, 1);
        const text = "x".repeat(70_000);
        peer.write(...itemParts(encode(text)));
        let used = 0;
        for (let more = true; more; ) {
          const part = await frameOf(peer, OUTPUT);
          used += HEADER + part.payloadBytes.length;
          more = (part.flags & MORE) !== 0;
          peer.send(STREAM_ACK, { bytes: HEADER + part.payloadBytes.length });
        }
        // One byte less than required to continue.
        peer.write(item("second"), frame(OUTPUT_CREDIT, { bytes: used - 1 }, { id: ID }));
        const before = await isAlive(peer);
        assert.ok(!before.some(({ type }) => type === OUTPUT), "It sent an item without credit");
        peer.send(OUTPUT_CREDIT, { bytes: 1 }, { id: ID });
        assert.deepEqual([...(await frameOf(peer, OUTPUT)).payloadBytes], [...encode("second")]);
      },
    },
    {
      section: "Credit of streams",
      sentence: "All streams of a direction share an overdraft for what their items take beyond their credit.",
      async run(target) {
        const { peer, credit, theirs } = await opened(target);
        // One large item is within the overdraft.
        const bytes = Math.min(theirs.limits.message_bytes, credit + theirs.stream.overdraft) - PART;
        peer.write(...itemParts(encode(new Uint8Array(bytes - (bytes % PART)))));
        await isAlive(peer);
      },
    },
    {
      section: "Credit of streams",
      sentence: "More than that ends the connection with `FLOW_CONTROL_ERROR`.",
      options: { maxMessageBytes: MIB },
      async run(target) {
        const { peer, theirs } = await opened(target);
        const { overdraft } = theirs.stream;
        const parts = Math.floor((theirs.limits.message_bytes - PART) / PART);
        const streams = 2 + Math.ceil(overdraft / ((parts - 4) * PART));
        for (let id = 6; id <= 5 + streams; id += 1) {
          await open(peer, 1, BigInt(id));
          // Incomplete items, which can't be consumed.
          for (let count = 0; count < parts; count += 1) {
            peer.write(rawFrame(INPUT, new Uint8Array(PART), { id, flags: MORE | 0x0040 }));
          }
          const closing = (await untilIdle(peer)).find(({ type }) => type === Type.CLOSE);
          if (closing === undefined) continue;
          assert.equal(closing.payload?.["code"], 7019);
          return;
        }
        assert.fail("It takes more than its overdraft");
      },
    },
    {
      section: "Credit of streams",
      sentence:
        "A receiver sends one for each 131,072 bytes or less, and for a frame with the flag `0x8000` (`ACK_NOW`), at once, whatever the application has taken.",
      async run(target) {
        const { peer } = await opened(target, 1);
        const parts = itemParts(encode(new Uint8Array(190_000))).slice(0, 2);
        peer.write(...parts);
        let bytes = 0;
        while (bytes < 131_072) bytes += Number((await frameOf(peer, STREAM_ACK)).payload?.["bytes"]);
        const small = item(1, { id: 6 });
        await open(peer, 1, 6n);
        new DataView(small.buffer).setUint16(8, ACK_NOW);
        peer.write(small);
        const sent = parts.reduce((sum, { length }) => sum + length, small.length);
        while (bytes < sent) bytes += Number((await frameOf(peer, STREAM_ACK)).payload?.["bytes"]);
        assert.equal(bytes, sent);
      },
    },
    {
      section: "Credit of streams",
      sentence: "It must not need an acknowledgement of the last 131,071 bytes without the flag.",
      async run(target) {
        const { peer } = await opened(target, 0xffff_ffff);
        const values = Array.from({ length: 30 }, (_, index) => new Uint8Array(60_000).fill(index));
        void feed(peer, values);
        let received = 0;
        let unsaid = 0;
        while (received < values.length) {
          const { type, flags, payloadBytes } = await frameOf(peer);
          if (type !== OUTPUT) continue;
          received += 1;
          unsaid += HEADER + payloadBytes.length;
          if (unsaid < 131_072 && (flags & ACK_NOW) === 0) continue;
          peer.send(STREAM_ACK, { bytes: unsaid });
          unsaid = 0;
        }
      },
    },
    {
      section: "Credit of streams",
      sentence: "A sender sends items of its streams in turns, and only when nothing else waits.",
      async run(target) {
        const { peer, credit } = await opened(target, 1);
        await open(peer, 1, 6n);
        const items = Math.floor(credit / 60_100);
        const ids: bigint[] = [];
        // Both streams have used up their credit, so that items of both wait.
        for (const id of [ID, 6n]) {
          peer.write(item("x", { id }), ...Array.from({ length: items }, () => item("x".repeat(60_000), { id })));
        }
        for (let count = 0; count < 2; count += 1) await frameOf(peer, OUTPUT);
        peer.write(...[ID, 6n].map((id) => frame(OUTPUT_CREDIT, { bytes: 10 * MIB }, { id })));
        while (ids.length < 2 * items) {
          const { id, payloadBytes } = await frameOf(peer, OUTPUT);
          ids.push(id);
          peer.send(STREAM_ACK, { bytes: HEADER + payloadBytes.length });
        }
        assert.ok(
          ids.indexOf(6n) < ids.lastIndexOf(ID),
          `The second stream waited for the end of the first: ${ids.join()}`,
        );
      },
    },
    {
      section: "Credit of streams",
      sentence:
        "Credit, acknowledgements, `INPUT_STOP` and `CANCEL` go before everything that waits, in either direction, and are always read.",
      async run(target) {
        const { peer } = await opened(target, 0xffff_ffff);
        // Returned items are never acknowledged, so they wait.
        peer.write(...Array.from({ length: 4 }, () => item("x".repeat(60_000))));
        await isAlive(peer);
        peer.send(Type.CANCEL, undefined, { id: ID });
        let reply = await answerTo(peer, ID);
        while (!isReply(reply)) reply = await answerTo(peer, ID);
      },
    },
    {
      section: "Credit of streams",
      sentence: "So two sides that fill all their streams at once don't wait for each other.",
      async run(target) {
        const { peer } = await opened(target, 1);
        const ids = [6n, 7n, 8n];
        for (const id of ids) await open(peer, 1, id);
        // The outputs have no credit, so the inputs fill up.
        for (const id of ids) peer.write(...Array.from({ length: 4 }, () => item("x".repeat(60_000), { id })));
        peer.call("echo", { n: 1 }, 50n);
        assert.equal((await answerTo(peer, 50n)).type, Type.RPC_RESPONSE);
        peer.write(item("passes"));
        peer.send(OUTPUT_CREDIT, { bytes: 1000 }, { id: ID });
        for (let acked = 0; ; acked += 1) {
          await peer.frames.count(acked + 1);
          const { type, id, payloadBytes } = peer.frames.all[acked] as ReceivedFrame;
          if (type === OUTPUT) peer.send(STREAM_ACK, { bytes: HEADER + payloadBytes.length });
          if (type !== OUTPUT || id !== ID) continue;
          assert.deepEqual([...payloadBytes], [...encode("passes")]);
          break;
        }
      },
    },
    {
      section: "Frames without a stream",
      sentence: "An invalid payload of a frame of streams, except `PROGRESS`, ends the connection with its code.",
      async run(target) {
        for (const [type, payload] of [
          [OUTPUT_CREDIT, { bytes: 0 }],
          [OUTPUT_CREDIT, { bytes: "5" }],
          [OUTPUT_CREDIT, {}],
          [INPUT_END, [1]],
          [STREAM_ACK, { bytes: -1 }],
        ] as const) {
          const { peer } = await opened(target);
          peer.send(type, payload, { id: type === STREAM_ACK ? 0n : ID });
          await isClosedWith(peer, 7013);
        }
      },
    },
  ];
}
