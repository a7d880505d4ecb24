import { expect, test } from "vitest";
import { TURN_PIECE_MS } from "../../limits.ts";
import { Piece } from "./piece.ts";

function piece() {
  const clock = { nowMs: 100, now: () => clock.nowMs };
  return { clock, piece: new Piece(clock) };
}

test("is over when its time is, seen at the fourth small frame", () => {
  const { clock, piece: one } = piece();
  one.chunkArrived(clock.nowMs);
  clock.nowMs += TURN_PIECE_MS;
  expect([1, 2, 3, 4].map(() => one.frameDone(10))).toEqual([false, false, false, true]);
});

test("is seen to be over after one larger frame", () => {
  const { clock, piece: one } = piece();
  one.chunkArrived(clock.nowMs);
  clock.nowMs += TURN_PIECE_MS;
  expect(one.frameDone(4096)).toBe(true);
});

test("goes on with the next chunk if nobody else had time in between", () => {
  const { clock, piece: one } = piece();
  const over: boolean[] = [];
  for (let n = 0; n < 6; n += 1) {
    over.push(one.chunkArrived(clock.nowMs));
    clock.nowMs += TURN_PIECE_MS / 4;
  }
  expect(over).toEqual([false, false, false, false, true, true]);
});

test("begins anew after a gap, and when it is told to", () => {
  const { clock, piece: one } = piece();
  one.chunkArrived(clock.nowMs);
  clock.nowMs += 10 * TURN_PIECE_MS;
  expect([one.chunkArrived(clock.nowMs), one.frameDone(4096)]).toEqual([false, false]);
  clock.nowMs += TURN_PIECE_MS;
  one.restart();
  expect(one.frameDone(4096)).toBe(false);
});
