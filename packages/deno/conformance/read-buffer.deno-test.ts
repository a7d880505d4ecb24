import { expect, test } from "vitest";
import { ReadBuffer } from "../src/read-buffer.ts";

/** Reads `counts` bytes one after the other, each filled with its own number. */
function read(buffer: ReadBuffer, counts: readonly number[]): Uint8Array[] {
  return counts.map((count, index) => {
    buffer.room().fill(index, 0, count);
    return buffer.take(count);
  });
}

test("what was handed out is never written to again", () => {
  const buffer = new ReadBuffer(65_536);
  const chunks = read(
    buffer,
    Array.from({ length: 200 }, () => 300),
  );
  expect(chunks.every((chunk, index) => chunk.length === 300 && chunk.every((byte) => byte === index))).toBe(true);
});

test("small reads share one block of memory", () => {
  const [first, second] = read(new ReadBuffer(65_536), [10, 10]);
  expect(first?.buffer).toBe(second?.buffer);
});

test("reads that fill their room get more of it, up to the limit", () => {
  const buffer = new ReadBuffer(65_536);
  const rooms: number[] = [];
  for (let n = 0; n < 6; n++) {
    const room = buffer.room();
    rooms.push(room.length);
    buffer.take(room.length);
  }
  expect(rooms).toEqual([4096, 8192, 16_384, 32_768, 65_536, 65_536]);
});

test("a room is never larger than the limit, nor empty", () => {
  const buffer = new ReadBuffer(100);
  for (let n = 0; n < 10; n++) {
    const room = buffer.room();
    expect(room.length).toBeGreaterThan(0);
    expect(room.length).toBeLessThanOrEqual(100);
    buffer.take(Math.ceil(room.length / 2));
  }
});
