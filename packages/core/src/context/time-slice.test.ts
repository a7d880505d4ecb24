import { expect, test } from "vitest";
import { TIME_SLICE_MS } from "../limits.ts";
import { TimeSlice } from "./time-slice.ts";

const worker = {};
const other = {};

function slice() {
  const ofNextTurn: (() => void)[] = [];
  const clock = { nowMs: 100, now: () => clock.nowMs, nextTurn: (task: () => void) => void ofNextTurn.push(task) };
  const one = new TimeSlice(clock);
  /** Works on a chunk for this time. Returns whether the slice is used up. */
  const work = (who: object, ms: number, chunkBytes = 100): boolean => {
    one.begin(who, clock.nowMs, chunkBytes);
    clock.nowMs += ms;
    return one.end();
  };
  /** Continues the event loop after this time. */
  const turn = (ms: number): void => {
    clock.nowMs += ms;
    for (const task of ofNextTurn.splice(0)) task();
  };
  return { clock, slice: one, work, turn };
}

test("is over when its time is, seen at the fourth small frame", () => {
  const { clock, slice: one } = slice();
  one.begin(worker, clock.nowMs, 100);
  clock.nowMs += TIME_SLICE_MS;
  expect([1, 2, 3, 4].map(() => one.frameDone(10))).toEqual([false, false, false, true]);
});

test("is seen to be over after one larger frame", () => {
  const { clock, slice: one } = slice();
  one.begin(worker, clock.nowMs, 100);
  clock.nowMs += TIME_SLICE_MS;
  expect(one.frameDone(4096)).toBe(true);
});

test("continues with the next chunk if nobody else had time in between", () => {
  const { work } = slice();
  expect([1, 2, 3, 4].map(() => work(worker, TIME_SLICE_MS / 4))).toEqual([false, false, false, true]);
});

test("is never over for a connection that leaves others as much time as it takes", () => {
  const { work, turn } = slice();
  for (let n = 0; n < 100; n += 1) {
    expect(work(worker, TIME_SLICE_MS / 2, n < 50 ? 100 : 65_536)).toBe(false);
    turn(TIME_SLICE_MS / 2);
  }
});

test("counts the time between chunks of one turn, in which the runtime reads and serves nobody else", () => {
  const { clock, work } = slice();
  const next = (): boolean => {
    const isOver = work(worker, TIME_SLICE_MS / 8, 65_536);
    clock.nowMs += TIME_SLICE_MS / 8;
    return isOver;
  };
  expect([next(), next(), next(), next(), next()]).toEqual([false, false, false, false, true]);
});

test("counts it behind the sixteenth small chunk as well", () => {
  const { clock, work } = slice();
  let chunks = 1;
  while (!work(worker, TIME_SLICE_MS / 100) && chunks < 1000) {
    clock.nowMs += TIME_SLICE_MS / 50;
    chunks += 1;
  }
  expect(chunks).toBeLessThan(60);
});

test("restarts when another connection had its turn", () => {
  const { work } = slice();
  const most = TIME_SLICE_MS * 0.75;
  expect([work(worker, most), work(other, most), work(worker, most)]).toEqual([false, false, false]);
});

test("restarts in a turn of its own", () => {
  const { clock, slice: one, work } = slice();
  work(worker, TIME_SLICE_MS * 0.75);
  one.beginTurn(worker);
  clock.nowMs += TIME_SLICE_MS * 0.75;
  expect(one.end()).toBe(false);
});
