/** Frames and payloads: bytes → FrameDecoder → PayloadReader, in one piece and in chunks; values are also re-encoded. */
import { Buffer } from "node:buffer";
import { isDeepStrictEqual } from "node:util";
import { ConduitError } from "../../packages/core/src/errors.ts";
import { call, frame, message, rawFrame } from "../../packages/core/src/testing/raw-frames.ts";
import { FrameDecoder } from "../../packages/core/src/wire/frame-decoder.ts";
import { anyFrameType } from "../../packages/core/src/wire/frame-types.ts";
import { FrameWriter } from "../../packages/core/src/wire/frame-writer.ts";
import { PayloadReader } from "../../packages/core/src/wire/payload-reader.ts";
import { must, type Target } from "../lib/target.ts";

const MAX_PAYLOAD_BYTES = 64 * 1024;
/** Upper bound for frames of this size: the decoder's initial allocation and one payload. */
const MAX_HELD_BYTES = 2 * 1024 * 1024;
const CUTS = [1, 7, 31, 32, 33];

const writer = new FrameWriter({ wallClock: () => 0, maxMessageBytes: 8 * MAX_PAYLOAD_BYTES, compress: null });

/** Returns the value of a frame, or the code of its error. */
function outcomeOf(read: () => unknown): unknown {
  try {
    return read();
  } catch (error) {
    if (error instanceof ConduitError) return `refused with ${error.code}`;
    throw error;
  }
}

function readings(decoder: FrameDecoder, reader: PayloadReader): unknown[] {
  return [
    outcomeOf(() => reader.readMessage(decoder) ?? [reader.name, reader.value, reader.timeoutMs, reader.meta]),
    outcomeOf(() => reader.readRpcRequest(decoder) ?? [reader.name, reader.value, reader.timeoutMs, reader.streams]),
    outcomeOf(() => reader.readRpcResponse(decoder) ?? reader.value),
    outcomeOf(() => reader.readRpcError(decoder) ?? [reader.message, reader.code, reader.details]),
    outcomeOf(() => reader.readMap(decoder)),
  ];
}

/** Reads everything from the bytes, passed in pieces of this length. */
function readCut(input: Uint8Array, pieceBytes: number, reader: PayloadReader): unknown[] {
  const decoder = new FrameDecoder(MAX_PAYLOAD_BYTES, anyFrameType);
  const seen: unknown[] = [];
  for (let at = 0; at < input.length; at += pieceBytes) {
    decoder.push(input.slice(at, at + pieceBytes));
    try {
      while (decoder.next()) {
        const { type, flags, correlationHi, correlationLo } = decoder;
        // Chunks are passed on in the pieces in which they arrived.
        if (type === 0x0104) continue;
        seen.push([type, flags, correlationHi, correlationLo, ...readings(decoder, reader)]);
      }
    } catch (error) {
      if (!(error instanceof ConduitError)) throw error;
      seen.push(`ended with ${error.code}`);
      return seen;
    }
    must(decoder.heldBytes <= MAX_HELD_BYTES, `the decoder holds ${decoder.heldBytes} bytes`);
  }
  return seen;
}

/** Checks that a decoded value can be encoded, and decodes to the same value. */
function checkValue(input: Uint8Array, reader: PayloadReader): void {
  const read = (bytes: Uint8Array): unknown => reader.readItem(bytes, 0, bytes.length);
  const value = outcomeOf(() => [read(input)]);
  if (typeof value === "string") return;
  const bytes = outcomeOf(() => writer.encodeItem(value).slice());
  // The encoded array has one more level than the input's value, which may exceed the depth limit.
  if (typeof bytes === "string") must(input.length > 127, `a value can't be written: ${bytes}`);
  else must(isDeepStrictEqual(read(bytes as Uint8Array), value), "a value changes when it is written and read again");
}

function frames(...parts: readonly Uint8Array[]): Uint8Array {
  return Uint8Array.from(Buffer.concat(parts));
}

export const decoder: Target = {
  name: "decoder",
  batch: 500,
  seeds: async () => [
    frames(message("note", { a: [1, -1, 1.5, "é", null, true], b: new Uint8Array(3) })),
    frames(call(7, "echo", { n: 2 ** 40, at: new Date(0) }), frame(0x0004, { success: false, error: "no", code: 1 })),
    frames(rawFrame(0x0001, Buffer.from("82a474797065a16ea464617461c0", "hex"), { flags: 1 })),
    frames(frame(0x0003, { success: true, result: [[[[]]]] }), new Uint8Array(31)),
    Uint8Array.from(Buffer.from("c70cff00000000ffffffffffffffff", "hex")),
    Uint8Array.from(Buffer.from("83a161cf0020000000000000a16294d40507c0c2c3a163d90378797a", "hex")),
  ],
  run(input) {
    const reader = new PayloadReader(null, MAX_PAYLOAD_BYTES);
    checkValue(input.slice(), reader);
    const whole = readCut(input, Math.max(1, input.length), reader);
    const cut = readCut(input, CUTS[input.length % CUTS.length] as number, reader);
    must(isDeepStrictEqual(whole, cut), "what is read depends on where the bytes are cut");
  },
};
