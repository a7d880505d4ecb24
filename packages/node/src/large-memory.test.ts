import { expect, test } from "vitest";
import { keepingLargeMemory } from "./large-memory.ts";

test("memory has the size that was asked for, small or large", () => {
  const allocate = keepingLargeMemory((bytes) => new Uint8Array(bytes));
  expect([10, 1_000_000, 1_000_000].map((bytes) => allocate(bytes).length)).toEqual([10, 1_000_000, 1_000_000]);
});
