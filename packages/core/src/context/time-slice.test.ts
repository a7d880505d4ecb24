import { expect, test } from "vitest";
import { TIME_SLICE_MS } from "../limits.ts";
import { TimeSlice } from "./time-slice.ts";

const worker = {};

function slice() {
  const clock = { nowMs: 100, now: () => clock.nowMs };
  return { clock, slice: new TimeSlice(clock) };
}

test("is over when its time is, seen at the fourth small frame", () => {
  const { clock, slice: one } = slice();
  one.chunkArrived(worker, clock.nowMs);
  clock.nowMs += TIME_SLICE_MS;
  expect([1, 2, 3, 4].map(() => one.frameDone(10))).toEqual([false, false, false, true]);
});

test("is seen to be over after one larger frame", () => {
  const { clock, slice: one } = slice();
  one.chunkArrived(worker, clock.nowMs);
  clock.nowMs += TIME_SLICE_MS;
  expect(one.frameDone(4096)).toBe(true);
});

test("goes on with the next chunk if nobody else had time in between", () => {
  const { clock, slice: one } = slice();
  const over: boolean[] = [];
  for (let n = 0; n < 6; n += 1) {
    over.push(one.chunkArrived(worker, clock.nowMs));
    clock.nowMs += TIME_SLICE_MS / 4;
  }
  expect(over).toEqual([false, false, false, false, true, true]);
});

test("begins anew after a gap, and when it is told to", () => {
  const { clock, slice: one } = slice();
  one.chunkArrived(worker, clock.nowMs);
  clock.nowMs += 10 * TIME_SLICE_MS;
  expect([one.chunkArrived(worker, clock.nowMs), one.frameDone(4096)]).toEqual([false, false]);
  clock.nowMs += TIME_SLICE_MS;
  one.start(worker);
  expect(one.frameDone(4096)).toBe(false);
});

test("begins anew when another connection had its turn", () => {
  const { clock, slice: one } = slice();
  one.chunkArrived(worker, clock.nowMs);
  clock.nowMs += TIME_SLICE_MS;
  expect([one.chunkArrived({}, clock.nowMs), one.chunkArrived(worker, clock.nowMs)]).toEqual([false, false]);
});
