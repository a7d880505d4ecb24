import { expect, test } from "vitest";
import { ReadBuffer } from "./read-buffer.ts";

test("bytes stay in place until the next read", () => {
  const buffer = new ReadBuffer(65_536);
  buffer.room().fill(7, 0, 300);
  const chunk = buffer.take(300);
  expect([chunk.length, chunk.every((byte) => byte === 7)]).toEqual([300, true]);
});

test("small reads continue in the same memory", () => {
  const buffer = new ReadBuffer(65_536);
  const first = buffer.room();
  buffer.take(10);
  expect(buffer.room()).toBe(first);
});

test("reads that stay small give memory back", () => {
  const buffer = new ReadBuffer(65_536);
  for (let n = 0; n < 5; n++) buffer.take(buffer.room().length);
  const rooms: number[] = [];
  for (let n = 0; n < 6; n++) {
    rooms.push(buffer.room().length);
    buffer.take(1);
  }
  expect(rooms).toEqual([65_536, 32_768, 16_384, 8192, 4096, 4096]);
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
