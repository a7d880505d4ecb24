import { describe, expect, test } from "vitest";
import { growthOf } from "./flatness.ts";

/** Returns noisy samples with a few outliers. */
function samples(growthPerSample: number): number[] {
  return Array.from({ length: 60 }, (_, n) => 1000 + ((n * 37) % 50) + (n % 13 === 0 ? 500 : 0) + n * growthPerSample);
}

describe("growthOf", () => {
  test("calls a noisy series without growth flat", () => {
    expect(growthOf(samples(0), 30).isFlat).toBe(true);
  });

  test("sees a leak under the noise", () => {
    expect(growthOf(samples(2), 30)).toMatchObject({ isFlat: false });
  });

  test("doesn't count the warm-up", () => {
    expect(growthOf([...Array.from({ length: 10 }, () => 0), ...samples(0)], 30).isFlat).toBe(true);
  });

  test("refuses to judge by few samples", () => {
    expect(() => growthOf([1, 2, 3], 1)).toThrow(RangeError);
  });
});
