import { expect, test } from "vitest";
import { TIME_SLICE_MS } from "../limits.ts";
import { TimeSlice } from "./time-slice.ts";

const worker = {};
const other = {};

function slice() {
  const clock = { nowMs: 100, now: () => clock.nowMs };
  const one = new TimeSlice(clock);
  /** Works on a chunk for this long. Returns whether the slice is over. */
  const work = (who: object, ms: number): boolean => {
    one.begin(who, clock.nowMs);
    clock.nowMs += ms;
    return one.end();
  };
  return { clock, slice: one, work };
}

test("is over when its time is, seen at the fourth small frame", () => {
  const { clock, slice: one } = slice();
  one.begin(worker, clock.nowMs);
  clock.nowMs += TIME_SLICE_MS;
  expect([1, 2, 3, 4].map(() => one.frameDone(10))).toEqual([false, false, false, true]);
});

test("is seen to be over after one larger frame", () => {
  const { clock, slice: one } = slice();
  one.begin(worker, clock.nowMs);
  clock.nowMs += TIME_SLICE_MS;
  expect(one.frameDone(4096)).toBe(true);
});

test("goes on with the next chunk if nobody else had time in between", () => {
  const { work } = slice();
  expect([1, 2, 3, 4].map(() => work(worker, TIME_SLICE_MS / 4))).toEqual([false, false, false, true]);
});

test("is never over for a connection that leaves others as much time as it takes", () => {
  const { clock, work } = slice();
  for (let n = 0; n < 20; n += 1) {
    expect(work(worker, TIME_SLICE_MS / 2)).toBe(false);
    clock.nowMs += TIME_SLICE_MS / 2;
  }
});

test("begins anew when another connection had its turn", () => {
  const { work } = slice();
  const most = TIME_SLICE_MS * 0.75;
  expect([work(worker, most), work(other, most), work(worker, most)]).toEqual([false, false, false]);
});

test("begins anew in a turn of its own", () => {
  const { clock, slice: one, work } = slice();
  work(worker, TIME_SLICE_MS * 0.75);
  one.beginTurn(worker);
  clock.nowMs += TIME_SLICE_MS * 0.75;
  expect(one.end()).toBe(false);
});
