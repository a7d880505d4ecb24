import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { median, pairedRatio, percentile, summarize } from "./statistics.ts";

describe("percentile", () => {
  test.each([
    [50, 5],
    [90, 9],
    [99, 10],
    [99.9, 10],
    [100, 10],
    [10, 1],
    [0, 1],
  ])("the %d-th of 1 to 10 is %d", (percent, expected) => {
    expect(percentile([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], percent)).toBe(expected);
  });

  test("is the smallest sample that the share does not exceed", () => {
    fc.assert(
      fc.property(fc.array(fc.integer(), { minLength: 1 }), fc.integer({ min: 1, max: 100 }), (samples, percent) => {
        const sorted = samples.toSorted((a, b) => a - b);
        const found = percentile(sorted, percent);
        const share = (limit: number): number => sorted.filter((sample) => sample <= limit).length / sorted.length;
        expect(share(found)).toBeGreaterThanOrEqual(percent / 100);
        for (const smaller of sorted) if (smaller < found) expect(share(smaller)).toBeLessThan(percent / 100);
      }),
    );
  });

  test("of no samples throws", () => {
    expect(() => percentile([], 50)).toThrow(RangeError);
  });
});

describe("median", () => {
  test.each([
    [[3], 3],
    [[9, 1, 5], 5],
    [[4, 1, 3, 2], 2.5],
    [[10, 9, 100], 10],
  ])("of %j is %d", (samples, expected) => {
    expect(median(samples)).toBe(expected);
  });

  test("doesn't reorder the samples", () => {
    const samples = [3, 1, 2];
    median(samples);
    expect(samples).toEqual([3, 1, 2]);
  });
});

test("a summary has the median and the range", () => {
  expect(summarize([4, 1, 7])).toEqual({ median: 4, min: 1, max: 7, samples: 3 });
});

describe("pairedRatio", () => {
  test("compares round by round, so that a round that is slow for both doesn't count", () => {
    expect(pairedRatio([20, 2, 24], [10, 1, 12])).toEqual({ median: 2, min: 2, max: 2, samples: 3 });
  });

  test("leaves out rounds that one of them lacks", () => {
    expect(pairedRatio([20, null, 30, 5], [10, 10, null])).toMatchObject({ median: 2, samples: 1 });
  });

  test("is null without a common round, or for a baseline of zero", () => {
    expect([pairedRatio([1], [null]), pairedRatio([], []), pairedRatio([1], [0])]).toEqual([null, null, null]);
  });
});
