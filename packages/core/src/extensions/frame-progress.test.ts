import { describe, expect, test } from "vitest";
import { FrameProgress, type ProgressSource } from "./frame-progress.ts";

const PERIOD_MS = 10_000;
/** Minimum number of bytes per period. */
const LEAST = 10 * 1024;

/** Checks every second while `bytesPerSecond` arrive. Returns the second in which the frame is found too slow, or null. */
function verdict(bytesPerSecond: number, at: (second: number) => Partial<ProgressSource> = () => ({})): number | null {
  const progress = new FrameProgress();
  for (let second = 0; second <= 60; second += 1) {
    const bytesReceived = second * bytesPerSecond;
    const source = { incompleteFrame: 1, bytesReceived, isReading: true, readingSinceMs: 0, ...at(second) };
    if (progress.check(source, PERIOD_MS, 1000 + second * 1000)) return second;
  }
  return null;
}

describe("FrameProgress", () => {
  test("ends a frame that brings a byte a second after one period", () => {
    expect(verdict(1)).toBe(10);
  });

  test("ends a frame just below the rate, and none at it", () => {
    expect([verdict(1023), verdict(1024)]).toEqual([10, null]);
  });

  test("judges the average of a period", () => {
    expect(verdict(0, (second) => ({ bytesReceived: Math.floor(second / 9) * LEAST }))).toBeNull();
  });

  test("judges each period by itself", () => {
    expect(verdict(0, (second) => ({ bytesReceived: second > 0 ? 1_000_000 : 0 }))).toBe(20);
  });

  test("judges no frame that isn't the same any more", () => {
    expect(verdict(1, (second) => ({ incompleteFrame: Math.floor(second / 9) + 1 }))).toBeNull();
  });

  test("judges nothing while this side doesn't read", () => {
    expect(verdict(0, () => ({ isReading: false, readingSinceMs: 0 }))).toBeNull();
    expect(verdict(0, (second) => ({ isReading: true, readingSinceMs: second * 1000 }))).toBeNull();
  });

  test("begins a new period after this process has slept", () => {
    const progress = new FrameProgress();
    const source = { incompleteFrame: 1, bytesReceived: 0, isReading: true, readingSinceMs: 0 };
    progress.check(source, PERIOD_MS, 1000);
    expect(progress.check(source, PERIOD_MS, 100_000)).toBe(false);
  });
});
