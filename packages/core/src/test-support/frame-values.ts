/** Frames as values. The library itself reads and writes frames in place. */

import { ConduitError, ErrorCode } from "../errors.ts";
import { HEADER_BYTES, PROTOCOL_MAX_MESSAGE_BYTES } from "../limits.ts";
import { Flag, VERSION } from "../wire/constants.ts";
import { FrameDecoder } from "../wire/frame-decoder.ts";
import { anyFrameType } from "../wire/frame-types.ts";
import { FrameWriter } from "../wire/frame-writer.ts";
import { ValueReader } from "../wire/value-reader.ts";

/** One frame. */
export interface Frame {
  /** Protocol version. */
  readonly version: number;
  /** See `FrameType`. */
  readonly type: number;
  /** See `Flag`. The encoder sets COMPRESSED itself. */
  readonly flags: number;
  /** Default 0. */
  readonly reserved?: number | undefined;
  /** Unsigned 64-bit integer; 0 for none, a bigint above 2^53 - 1. */
  readonly correlationId: number | bigint;
  /** Unix milliseconds at the sender. */
  readonly timestampMs: number;
  /** Null for none. */
  readonly payload: unknown;
}

/** Options of {@link encodeFrame}. */
export interface EncodeFrameOptions {
  /** Creates a zlib stream. Default: payloads aren't compressed. */
  readonly compress?: ((bytes: Uint8Array) => Uint8Array) | undefined;
  /** Default: the protocol's 100 MiB. */
  readonly maxMessageBytes?: number | undefined;
}

/** Options of {@link decodeFrames}. */
export interface DecodeFramesOptions {
  /** Like `Runtime.inflate`. Default: a compressed frame is an error, INFLATE_FAILED. */
  readonly inflate?: ((bytes: Uint8Array, maxBytes: number) => Uint8Array) | undefined;
  /** Limit of a payload, before and after inflating. Default: the protocol's 100 MiB. */
  readonly maxPayloadBytes?: number | undefined;
}

/**
 * Encodes `frame`.
 * @throws ConduitError UNSERIALIZABLE, MESSAGE_TOO_LARGE
 */
export function encodeFrame(frame: Frame, options: EncodeFrameOptions = {}): Uint8Array {
  const writer = new FrameWriter({
    wallClock: () => frame.timestampMs,
    maxMessageBytes: options.maxMessageBytes ?? PROTOCOL_MAX_MESSAGE_BYTES,
    compress: options.compress ?? null,
  });
  const id = BigInt(frame.correlationId);
  const hi = Number(BigInt.asUintN(32, id >> 32n));
  const lo = Number(BigInt.asUintN(32, id));
  if (frame.payload === null || frame.payload === undefined) writer.control(frame.type, hi, lo);
  else writer.payload(frame.type, hi, lo, frame.payload as Readonly<Record<string, unknown>>);
  const bytes = writer.bytes.slice(writer.start, writer.end);
  const view = new DataView(bytes.buffer);
  view.setUint16(4, frame.version);
  view.setUint16(8, view.getUint16(8) | (frame.flags & ~Flag.COMPRESSED));
  view.setUint16(10, frame.reserved ?? 0);
  return bytes;
}

/**
 * Decodes all frames in `bytes`.
 * @throws ConduitError the errors of `FrameDecoder` and `ValueReader`; TRUNCATED_PAYLOAD if the bytes end inside a
 *   frame
 */
export function decodeFrames(bytes: Uint8Array, options: DecodeFramesOptions = {}): Frame[] {
  const decoder = new FrameDecoder(options.maxPayloadBytes ?? PROTOCOL_MAX_MESSAGE_BYTES, anyFrameType);
  const reader = new ValueReader();
  const frames: Frame[] = [];
  decoder.push(bytes);
  while (decoder.next()) frames.push(readFrame(decoder, reader, options));
  if (decoder.bufferedBytes > 0) {
    throw new ConduitError(
      ErrorCode.TRUNCATED_PAYLOAD,
      `Cannot decode frames: the last one is cut off after ${decoder.bufferedBytes} bytes`,
    );
  }
  return frames;
}

function readFrame(decoder: FrameDecoder, reader: ValueReader, options: DecodeFramesOptions): Frame {
  const reservedAt = decoder.payloadStart - HEADER_BYTES + 10;
  const id = (BigInt(decoder.correlationHi) << 32n) | BigInt(decoder.correlationLo);
  return {
    version: VERSION,
    type: decoder.type,
    flags: decoder.flags,
    reserved: ((decoder.bytes[reservedAt] as number) << 8) | (decoder.bytes[reservedAt + 1] as number),
    correlationId: id <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(id) : id,
    timestampMs: decoder.timestampMs,
    payload: readPayload(decoder, reader, options),
  };
}

function readPayload(decoder: FrameDecoder, reader: ValueReader, options: DecodeFramesOptions): unknown {
  const { bytes, payloadStart, payloadEnd } = decoder;
  if (payloadStart === payloadEnd) return null;
  if ((decoder.flags & Flag.COMPRESSED) === 0) return reader.decode(bytes, payloadStart, payloadEnd, false);
  if (options.inflate === undefined) {
    throw new ConduitError(ErrorCode.INFLATE_FAILED, "Cannot decode frame: it is compressed, and no inflate was given");
  }
  const inflated = options.inflate(bytes.subarray(payloadStart, payloadEnd), decoder.maxPayloadBytes);
  return reader.decode(inflated, 0, inflated.length, true);
}
