import { describe, expect, test } from "vitest";
import { type FakeRuntime, fakeRuntime } from "../test-support/fake-runtime.ts";
import { TimerWheel } from "../util/timer-wheel.ts";
import { BufferPool, type PoolUse, RECEIVING, SENDING } from "./buffer-pool.ts";

const KIB = 1024;
const MIB = 1024 * KIB;

function scene(use: PoolUse = SENDING): { runtime: FakeRuntime; pool: BufferPool; allocated: number[] } {
  const runtime = fakeRuntime();
  const allocated: number[] = [];
  const allocate = (bytes: number): Uint8Array => {
    allocated.push(bytes);
    return new Uint8Array(bytes);
  };
  return { runtime, pool: new BufferPool(allocate, new TimerWheel(runtime), use), allocated };
}

describe("BufferPool", () => {
  test("lends a buffer again once it came back, also by a view of its beginning", () => {
    const { pool, allocated } = scene();
    pool.give(pool.take(MIB + 60).subarray(0, MIB + 60));
    pool.take(MIB);
    expect(allocated).toHaveLength(1);
  });

  test("lends no buffer twice at a time", () => {
    const { pool } = scene();
    pool.give(pool.take(100));
    const [one, other] = [pool.take(100).fill(1), pool.take(100).fill(2)];
    expect([one[0], other[0]]).toEqual([1, 2]);
  });

  test("lends none that is too small, or twice as large as needed", () => {
    const { pool } = scene();
    for (const bytes of [64 * KIB, 512 * KIB]) pool.give(pool.take(bytes));
    const { length } = pool.take(200 * KIB);
    expect([length >= 200 * KIB, length < 400 * KIB]).toEqual([true, true]);
  });

  test.each([17 * KIB, 65_596, 100_000, MIB + 1])("takes little more memory than the %i bytes asked for", (bytes) => {
    const { pool } = scene();
    const { length } = pool.take(bytes);
    expect([length >= bytes, length <= bytes * 1.125]).toEqual([true, true]);
  });

  test("keeps 8 MiB at most, and lets go of what has waited longest", () => {
    const { pool } = scene();
    for (const buffer of [pool.take(6 * MIB), pool.take(4 * MIB)]) pool.give(buffer);
    expect(pool.spareBytes).toBe(4 * MIB);
  });

  test("keeps none of more than 8 MiB, and lets go of nothing for it", () => {
    const { pool } = scene();
    for (const buffer of [pool.take(MIB), pool.take(9 * MIB)]) pool.give(buffer);
    expect(pool.spareBytes).toBe(MIB);
  });

  test("for what arrives, lends a buffer again without what it held behind the bytes asked for", () => {
    const { pool } = scene(RECEIVING);
    pool.give(pool.take(MIB).fill(7));
    const { buffer } = pool.take(MIB - 100);
    expect(buffer.byteLength).toBe(MIB);
    expect(new Uint8Array(buffer, MIB - 100)).toEqual(new Uint8Array(100));
  });

  test("knows its own", () => {
    const { pool } = scene();
    expect([pool.owns(pool.take(100).subarray(3, 5)), pool.owns(new Uint8Array(100))]).toEqual([true, false]);
  });

  test("lets go of what was of no use for five seconds", async () => {
    const { runtime, pool } = scene();
    pool.give(pool.take(MIB));
    await runtime.advance(5100);
    expect(pool.spareBytes).toBe(MIB);
    await runtime.advance(5100);
    expect(pool.spareBytes).toBe(0);
  });

  test("keeps what is in use, and lets go of the rest", async () => {
    const { runtime, pool } = scene();
    for (const buffer of [pool.take(MIB), pool.take(MIB), pool.take(MIB)]) pool.give(buffer);
    for (let round = 0; round < 4; round++) {
      pool.give(pool.take(MIB));
      await runtime.advance(5100);
    }
    expect(pool.spareBytes).toBe(MIB);
  });

  test("lets go of it despite requests that it cannot serve", async () => {
    const { runtime, pool } = scene();
    pool.give(pool.take(MIB));
    for (let round = 0; round < 4; round++) {
      pool.take(64 * KIB);
      await runtime.advance(5100);
    }
    expect(pool.spareBytes).toBe(0);
  });
});
