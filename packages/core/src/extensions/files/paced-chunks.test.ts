import { expect, test } from "vitest";
import { pacedChunks, type RateLimit } from "./paced-chunks.ts";

/** Generates chunks of zeros with these sizes. */
async function* chunks(...sizes: number[]): AsyncGenerator<Uint8Array, undefined> {
  for (const size of sizes) yield new Uint8Array(size);
}

/** Returns each piece's time and size. The clock only advances during sleeps, each of which is late by `lateMs`. */
async function leaving(sizes: number[], limit: RateLimit, lateMs = 0): Promise<[ms: number, bytes: number][]> {
  let ms = 0;
  const clock = {
    now: () => ms,
    sleep: async (delayMs: number) => {
      ms += delayMs + lateMs;
    },
  };
  const left: [number, number][] = [];
  for await (const piece of pacedChunks(chunks(...sizes), limit, clock)) left.push([ms, piece.length]);
  return left;
}

test("pieces are those of a tenth of a second, each when the last one's time is over", async () => {
  expect(await leaving([250], 1000)).toEqual([
    [0, 100],
    [100, 100],
    [200, 50],
  ]);
});

test("small chunks stay whole", async () => {
  expect(await leaving([50, 50, 50], 1000)).toEqual([
    [0, 50],
    [50, 50],
    [100, 50],
  ]);
});

test("late timers don't lower the rate", async () => {
  const left = await leaving([1000], 1000, 16);
  expect(left.at(-1)).toEqual([916, 100]);
});

test("a wait for the source isn't made up for", async () => {
  let ms = 0;
  async function* slow(): AsyncGenerator<Uint8Array, undefined> {
    yield new Uint8Array(100);
    ms += 5000;
    yield new Uint8Array(300);
  }
  const clock = {
    now: () => ms,
    sleep: async (delayMs: number) => {
      ms += delayMs;
    },
  };
  const left: number[] = [];
  for await (const _piece of pacedChunks(slow(), 1000, clock)) left.push(ms);
  expect(left).toEqual([0, 5000, 5000, 5100]);
});

test("a limit that changes is in force with the next piece", async () => {
  const limits = [1000, 1000, Number.POSITIVE_INFINITY];
  expect(await leaving([1000], () => limits.shift() ?? 0)).toEqual([
    [0, 100],
    [100, 100],
    [200, 800],
  ]);
});

test.each([0, -1, Number.NaN, "fast"])("the limit %s is INVALID_CONFIG", async (limit) => {
  await expect(leaving([1], () => limit as number)).rejects.toMatchObject({
    codeName: "INVALID_CONFIG",
    message: expect.stringContaining("maxBytesPerSecond of an upload: must be a positive number"),
  });
});
