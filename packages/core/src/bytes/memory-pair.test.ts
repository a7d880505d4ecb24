import { describe, expect, test } from "vitest";
import { describeMemoryPair } from "../../../../conformance/byte-stream/memory-pair.suite.ts";
import { memoryPair } from "./memory-pair.ts";

describeMemoryPair("Node");

describe("memoryPair", () => {
  test("delivers byte by byte when asked to", () => {
    const tasks: (() => void)[] = [];
    const [a, b] = memoryPair({ maxChunkBytes: 1, schedule: (task) => void tasks.push(task) });
    const chunks: number[][] = [];
    b.open({ data: (chunk) => void chunks.push([...chunk]), drained() {}, closed() {} });
    a.write(Uint8Array.of(1, 2, 3));
    for (let task = tasks.shift(); task !== undefined; task = tasks.shift()) task();
    expect(chunks).toEqual([[1], [2], [3]]);
  });

  test("delivers only when the given scheduler runs its tasks", () => {
    const tasks: (() => void)[] = [];
    const [a, b] = memoryPair({ schedule: (task) => void tasks.push(task) });
    const chunks: number[][] = [];
    b.open({ data: (chunk) => void chunks.push([...chunk]), drained() {}, closed() {} });
    a.write(Uint8Array.of(1));
    expect(chunks).toEqual([]);
  });

  test("names each end after the other", () => {
    const [a, b] = memoryPair();
    expect([a.local, a.remote]).toEqual([b.remote, b.local]);
  });
});
