import { encode } from "@msgpack/msgpack";
import { describe, expect, test } from "vitest";
import type { ReceivedFrame } from "../../connection/extension.ts";
import { RuntimeContext } from "../../context/runtime-context.ts";
import { fakeRuntime } from "../../test-support/fake-runtime.ts";
import { rawFrame } from "../../testing/raw-frames.ts";
import { FrameDecoder } from "../../wire/frame-decoder.ts";
import { anyFrameType } from "../../wire/frame-types.ts";
import { ItemBuffer } from "./item-buffer.ts";
import { StreamFlag, StreamFrame } from "./stream-frames.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

const packed = (item: unknown): Uint8Array => rawFrame(StreamFrame.INPUT, encode(item));
const binary = (bytes: number, more = 0): Uint8Array =>
  rawFrame(StreamFrame.INPUT, new Uint8Array(bytes).fill(bytes), { flags: StreamFlag.BINARY | more });

/** Adds frames that arrive in one piece. */
function add(buffer: ItemBuffer, frames: Uint8Array): void {
  const decoder = new FrameDecoder(MIB, anyFrameType);
  decoder.push(frames);
  while (decoder.next()) buffer.add(decoder);
}

describe("a buffer of items", () => {
  test("returns items of all kinds and sizes in order, and counts what their frames had", () => {
    const reader = new RuntimeContext(fakeRuntime()).reader(MIB, false);
    const sizes = [1, 255, 256, 1, 1023, 1024, 60_000, 1, 60];
    const frames = sizes.flatMap((size) => [packed(size), binary(size), packed("x".repeat(size))]);
    const parts = [binary(64 * KIB, StreamFlag.MORE), binary(1)];
    const all = Buffer.concat([...frames, ...parts]);
    const buffer = new ItemBuffer();
    add(buffer, all);
    expect(buffer.bytes).toBe(all.length);
    for (const size of sizes) {
      expect(buffer.take(reader)).toBe(size);
      expect(buffer.take(reader)).toEqual(new Uint8Array(size).fill(size));
      expect(buffer.take(reader)).toBe("x".repeat(size));
    }
    expect((buffer.take(reader) as Uint8Array).length).toBe(64 * KIB + 1);
    expect([buffer.hasItem, buffer.bytes]).toEqual([false, 0]);
  });

  test("copies an item out of memory that others use, too", () => {
    const reader = new RuntimeContext(fakeRuntime()).reader(MIB, false);
    const bytes = new Uint8Array(2000).fill(7);
    const place = { bytes, payloadStart: 0, payloadEnd: bytes.length, exclusive: false, isShared: true };
    const frame = { ...place, flags: StreamFlag.BINARY } as ReceivedFrame;
    const buffer = new ItemBuffer();
    buffer.add(frame);
    expect(frame.isShared).toBe(false);
    bytes.fill(0);
    expect(buffer.take(reader)).toEqual(new Uint8Array(2000).fill(7));
  });

  /** Keeps the buffers from being garbage-collected while others are measured. */
  const kept: ItemBuffer[] = [];

  test.each([
    ["small binary items between small ones", binary(1)],
    ["large items between small ones", packed("x".repeat(KIB))],
  ])("takes about the memory that it counts: %s", (_what, other) => {
    const pair = Buffer.concat([packed(1), other]);
    const frames = Buffer.concat(Array.from({ length: 20_000 }, () => pair));
    const buffer = new ItemBuffer();
    kept.push(buffer);
    const before = process.memoryUsage().arrayBuffers;
    add(buffer, frames);
    const taken = process.memoryUsage().arrayBuffers - before;
    expect(buffer.bytes).toBe(20_000 * pair.length);
    expect(taken).toBeLessThan(2 * buffer.bytes);
  });
});
