/** Frames from netconduit's own encoder: decoding must accept them, and encoding must produce the same bytes. */

import { readFileSync } from "node:fs";
import { constants, deflateSync, inflateSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import type { ConnectionSettings } from "../connection/connection-settings.ts";
import { ExtensionRegistry } from "../connection/extension-registry.ts";
import { ConduitError, ErrorCode } from "../errors.ts";
import { builtInExtensions } from "../extensions/index.ts";
import { DEFAULT_MAX_MESSAGE_BYTES } from "../limits.ts";
import { decodeFrames, encodeFrame } from "../test-support/frame-values.ts";
import { Flag, FrameType } from "./constants.ts";
import { Float64 } from "./float64.ts";
import { FrameDecoder } from "./frame-decoder.ts";
import { FrameWriter } from "./frame-writer.ts";
import { PayloadReader } from "./payload-reader.ts";

const types = new ExtensionRegistry(builtInExtensions, {} as ConnectionSettings);

interface Vector {
  readonly name: string;
  readonly frame: string;
  readonly header: {
    readonly version: number;
    readonly type: number;
    readonly flags: number;
    readonly reserved: number;
    readonly length: number;
    readonly correlationId: string;
    readonly timestamp: number;
  };
  readonly payload: Record<string, unknown> | null;
}

interface VectorFile {
  readonly frames: readonly Vector[];
  readonly malformed: readonly Pick<Vector, "name" | "frame">[];
}

/** Replaces notations of values that JSON can't represent. The source text distinguishes 2.0 from 2. */
function revive(_key: string, value: unknown, context?: { source?: string }): unknown {
  if (typeof value === "number" && context?.source?.includes(".") && Number.isInteger(value)) return new Float64(value);
  if (typeof value !== "object" || value === null) return value;
  const notation = value as Record<string, string>;
  if (notation["$bytes"] !== undefined) return bytesOf(notation["$bytes"]);
  if (notation["$int"] !== undefined) return BigInt(notation["$int"]);
  if (notation["$float"] !== undefined) return Number(notation["$float"]);
  return value;
}

function bytesOf(hex: string): Uint8Array {
  return new Uint8Array(Buffer.from(hex, "hex"));
}

function withPlainFloats(value: unknown): unknown {
  if (value instanceof Float64) return value.value;
  if (value instanceof Uint8Array || typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(withPlainFloats);
  return Object.fromEntries(Object.entries(value).map(([key, element]) => [key, withPlainFloats(element)]));
}

function deflate(bytes: Uint8Array): Uint8Array {
  return deflateSync(bytes, { level: 6 });
}

function inflate(bytes: Uint8Array, maxBytes: number): Uint8Array {
  try {
    return inflateSync(bytes, { maxOutputLength: maxBytes, finishFlush: constants.Z_FINISH });
  } catch (cause) {
    const tooLarge = (cause as { code?: string }).code === "ERR_BUFFER_TOO_LARGE";
    throw new ConduitError(tooLarge ? ErrorCode.INFLATED_TOO_LARGE : ErrorCode.INFLATE_FAILED, String(cause));
  }
}

/** In one piece and byte by byte. */
const CHUNK_BYTES: readonly (readonly [string, number])[] = [
  ["whole", Number.POSITIVE_INFINITY],
  ["byte by byte", 1],
];

function* chunksOf(bytes: Uint8Array, size: number): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size);
}

/** Feeds `bytes` to a decoder until it has a frame, and checks the memory that it holds. */
function receive(decoder: FrameDecoder, bytes: Uint8Array, chunkBytes: number): boolean {
  let received = 0;
  for (const chunk of chunksOf(bytes, chunkBytes)) {
    decoder.push(chunk);
    received += chunk.length;
    if (decoder.next()) return received === bytes.length;
    expect(decoder.bufferedBytes).toBe(received);
    expect(decoder.heldBytes).toBeLessThanOrEqual(Math.max(bytes.length, 32));
  }
  return false;
}

function halves(id: string): [hi: number, lo: number] {
  return [Number(BigInt(id) >> 32n), Number(BigInt(id) & 0xffff_ffffn)];
}

function read(decoder: FrameDecoder, reader: PayloadReader): unknown {
  switch (decoder.type) {
    case FrameType.MESSAGE:
      reader.readMessage(decoder);
      return { type: reader.name, data: reader.value };
    case FrameType.RPC_REQUEST:
      reader.readRpcRequest(decoder);
      return { method: reader.name, params: reader.value };
    case FrameType.RPC_RESPONSE:
      reader.readRpcResponse(decoder);
      return { success: true, result: reader.value };
    default:
      return reader.readMap(decoder);
  }
}

function write(writer: FrameWriter, { header, payload }: Vector): Uint8Array {
  const [hi, lo] = halves(header.correlationId);
  if (payload === null) {
    writer.control(header.type, hi, lo);
  } else if (header.type === FrameType.MESSAGE) {
    writer.message(hi, lo, payload["type"] as string, payload["data"]);
  } else if (header.type === FrameType.RPC_REQUEST) {
    writer.rpcRequest(hi, lo, payload["method"] as string, payload["params"], 0);
  } else if (header.type === FrameType.RPC_RESPONSE) {
    writer.rpcResponse(hi, lo, payload["result"]);
  } else if (header.type === FrameType.RPC_ERROR) {
    writer.rpcError(hi, lo, payload["error"] as string, payload["code"] as number | null, undefined);
  } else {
    writer.payload(header.type, hi, lo, payload);
  }
  return writer.bytes.slice(writer.start, writer.end);
}

const text = readFileSync(new URL("../../test-data/netconduit-5.0.0-vectors.json", import.meta.url), "utf8");
const vectors = JSON.parse(text, revive) as VectorFile;

function vector(name: string): Vector {
  const found = vectors.frames.find((candidate) => candidate.name === name);
  if (found === undefined) throw new Error(`There is no vector ${name}`);
  return found;
}

test("the vectors hold 33 frames and 10 malformed ones", () => {
  expect([vectors.frames.length, vectors.malformed.length]).toEqual([33, 10]);
});

describe.each(CHUNK_BYTES)("a frame of netconduit, received %s", (_how, chunkBytes) => {
  test.each(vectors.frames.map((frame) => [frame.name, frame] as const))("is read: %s", (_name, expected) => {
    const decoder = new FrameDecoder(DEFAULT_MAX_MESSAGE_BYTES, types);
    expect(receive(decoder, bytesOf(expected.frame), chunkBytes)).toBe(true);
    const { type, flags, correlationHi, correlationLo, timestampMs, payloadStart, payloadEnd } = decoder;
    expect({ type, flags, correlation: [correlationHi, correlationLo], timestampMs }).toEqual({
      type: expected.header.type,
      flags: expected.header.flags,
      correlation: halves(expected.header.correlationId),
      timestampMs: expected.header.timestamp,
    });
    expect(payloadEnd - payloadStart).toBe(expected.header.length);
    const reader = new PayloadReader(inflate, DEFAULT_MAX_MESSAGE_BYTES);
    expect(read(decoder, reader)).toStrictEqual(withPlainFloats(expected.payload));
    expect(decoder.next()).toBe(false);
    expect([decoder.bufferedBytes, decoder.heldBytes]).toEqual([0, 0]);
  });
});

test("netconduit's RPC_ERROR is read into message, code and details", () => {
  const reader = new PayloadReader(inflate, DEFAULT_MAX_MESSAGE_BYTES);
  const results = ["rpc-error", "rpc-error-no-code"].map((name) => {
    const decoder = new FrameDecoder(DEFAULT_MAX_MESSAGE_BYTES, types);
    decoder.push(bytesOf(vector(name).frame));
    decoder.next();
    reader.readRpcError(decoder);
    return [reader.message, reader.code, reader.details];
  });
  expect(results).toEqual([
    ["RPC method not found: nope", 4000, undefined],
    ["boom", ErrorCode.UNKNOWN, undefined],
  ]);
});

describe("a frame written", () => {
  const plain = vectors.frames.filter((frame) => frame.header.flags === 0);

  test.each(plain.map((frame) => [frame.name, frame] as const))(
    "equals netconduit's to the byte: %s",
    (_n, expected) => {
      const { timestamp } = expected.header;
      const writer = new FrameWriter({ wallClock: () => timestamp, maxMessageBytes: 100_000, compress: null });
      expect(Buffer.from(write(writer, expected)).toString("hex")).toBe(expected.frame);
    },
  );

  test.each(plain.map((frame) => [frame.name, frame] as const))("by encodeFrame equals it too: %s", (_n, expected) => {
    const { version, type, flags, reserved, correlationId, timestamp } = expected.header;
    const frame = encodeFrame({
      version,
      type,
      flags,
      reserved,
      correlationId: BigInt(correlationId),
      timestampMs: timestamp,
      payload: expected.payload,
    });
    expect(Buffer.from(frame).toString("hex")).toBe(expected.frame);
  });

  test("is sent plain where compression gains nothing, as netconduit does", () => {
    const expected = vector("message-incompressible");
    const { timestamp } = expected.header;
    const writer = new FrameWriter({ wallClock: () => timestamp, maxMessageBytes: 100_000, compress: deflate });
    expect(Buffer.from(write(writer, expected)).toString("hex")).toBe(expected.frame);
  });

  test("is compressed where netconduit compresses (the runtime's zlib may choose other bytes: compared inflated)", () => {
    const expected = vector("message-compressed");
    const { timestamp } = expected.header;
    const writer = new FrameWriter({ wallClock: () => timestamp, maxMessageBytes: 100_000, compress: deflate });
    const [ours] = decodeFrames(write(writer, expected), { inflate });
    const [theirs] = decodeFrames(bytesOf(expected.frame), { inflate });
    expect(ours?.flags).toBe(Flag.COMPRESSED);
    expect(ours).toStrictEqual(theirs);
  });
});

describe.each(CHUNK_BYTES)("a malformed frame, received %s", (_how, chunkBytes) => {
  const codes: Readonly<Record<string, number>> = {
    "bad-magic": ErrorCode.BAD_MAGIC,
    "bad-version": ErrorCode.UNSUPPORTED_VERSION,
    "unknown-type": ErrorCode.UNKNOWN_FRAME_TYPE,
    "length-over-max": ErrorCode.MESSAGE_TOO_LARGE,
    "payload-not-msgpack": ErrorCode.MALFORMED_PAYLOAD,
    "payload-trailing-bytes": ErrorCode.TRAILING_BYTES,
    "payload-truncated-map": ErrorCode.TRUNCATED_PAYLOAD,
    "payload-array32-lie": ErrorCode.COUNT_EXCEEDS_PAYLOAD,
    "compressed-garbage": ErrorCode.INFLATE_FAILED,
    "zip-bomb": ErrorCode.INFLATED_TOO_LARGE,
  };

  test.each(vectors.malformed.map(({ name, frame }) => [name, codes[name], frame] as const))(
    "fails with a code of its own: %s, %i",
    (_name, code, frame) => {
      const decoder = new FrameDecoder(DEFAULT_MAX_MESSAGE_BYTES, types);
      const reader = new PayloadReader(inflate, DEFAULT_MAX_MESSAGE_BYTES);
      expect(() => {
        receive(decoder, bytesOf(frame), chunkBytes);
        reader.readMessage(decoder);
      }).toThrow(expect.objectContaining({ name: expect.stringMatching(/^ConduitError /), code }));
    },
  );
});
