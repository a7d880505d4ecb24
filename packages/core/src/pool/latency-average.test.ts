import { expect, test } from "vitest";
import { LatencyAverage } from "./latency-average.ts";

test("there is no average before the first sample, which is the average then", () => {
  const average = new LatencyAverage();
  expect(average.ms).toBeNull();
  average.add(20, 1000);
  expect(average.ms).toBe(20);
});

test("a sample soon after the last one weighs 0.3", () => {
  const average = new LatencyAverage();
  average.add(20, 1000);
  average.add(40, 1001);
  expect(average.ms).toBeCloseTo(26);
});

test("a sample long after the last one replaces the average almost", () => {
  const average = new LatencyAverage();
  average.add(1000, 0);
  average.add(10, 60_000);
  expect(average.ms).toBeCloseTo(12.5, 0);
});
