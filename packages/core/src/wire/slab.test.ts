import { expect, test } from "vitest";
import { Slab } from "./slab.ts";

const newSlab = (): Slab => new Slab((bytes, start, end) => bytes.subarray(start, end));

test("a turn's place is used again once no stream refers to it", () => {
  const slab = newSlab();
  const starts: number[] = [];
  for (const isKept of [true, false, false, true, false]) {
    starts.push(slab.reserve(32));
    if (isKept) slab.keep();
    slab.endTurn(false);
  }
  expect(starts).toEqual([0, 32, 32, 32, 64]);
});

test("frames that wait to be written keep their place", () => {
  const slab = newSlab();
  slab.reserve(32);
  slab.endTurn(true);
  expect(slab.reserve(32)).toBe(32);
});

test("a full block is left to its readers, and a new one begun", () => {
  const slab = newSlab();
  const first = slab.bytes;
  slab.reserve(16_000);
  const { bytes } = slab;
  while (slab.bytes === bytes) slab.reserve(16_000);
  expect(first.length).toBe(0);
  expect(slab.reserve(1)).toBe(16_000);
});

test("views show the bytes asked for, whatever was asked before", () => {
  const slab = newSlab();
  slab.reserve(100);
  slab.bytes.set(Uint8Array.from({ length: 100 }, (_, index) => index));
  for (const [start, end] of [
    [0, 10],
    [0, 20],
    [5, 10],
    [0, 10],
  ] as const) {
    expect([...slab.viewOf(slab.bytes, start, end)]).toEqual(
      Array.from({ length: end - start }, (_, index) => start + index),
    );
  }
  const own = Uint8Array.of(7, 8, 9);
  expect([...slab.viewOf(own, 0, 2)]).toEqual([7, 8]);
});
