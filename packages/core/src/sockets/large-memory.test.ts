import { expect, test } from "vitest";
import { keepingLargeMemory } from "./large-memory.ts";

test("what is asked for is what comes, large or small", () => {
  const asked: number[] = [];
  const allocate = keepingLargeMemory((bytes) => {
    asked.push(bytes);
    return new Uint8Array(bytes);
  });
  expect([10, 1_000_000, 1_000_000].map((bytes) => allocate(bytes).length)).toEqual([10, 1_000_000, 1_000_000]);
  expect(asked).toEqual([10, 1_000_000, 1_000_000]);
});
