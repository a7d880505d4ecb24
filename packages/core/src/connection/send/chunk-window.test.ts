import { describe, expect, test } from "vitest";
import { MAX_CHUNK_BYTES } from "../../limits.ts";
import { ChunkWindow } from "./chunk-window.ts";

const MAX_WINDOW_BYTES = 16 * 1024 * 1024;

/** Fills the window and acknowledges everything after this time. */
function roundTrip(window: ChunkWindow, fromMs: number, ms: number): void {
  let sent = 0;
  while (window.hasRoom) {
    window.sent(MAX_CHUNK_BYTES, fromMs);
    sent += MAX_CHUNK_BYTES;
  }
  window.acknowledged(sent, fromMs + ms);
}

describe("the window of chunks", () => {
  test("begins with two chunks", () => {
    expect(new ChunkWindow().size).toBe(2 * MAX_CHUNK_BYTES);
  });

  test("grows up to 16 MiB while round trips stay as short as the shortest", () => {
    const window = new ChunkWindow();
    for (let round = 0; round < 10; round += 1) roundTrip(window, round * 100, 100);
    expect(window.size).toBe(16 * 1024 * 1024);
  });

  test("keeps its size while round trips are somewhat longer, and shrinks when they are twice as long", () => {
    const window = new ChunkWindow();
    for (let round = 0; round < 3; round += 1) roundTrip(window, round * 100, 10);
    const { size } = window;
    expect(size).toBe(16 * MAX_CHUNK_BYTES);
    roundTrip(window, 1000, 15);
    expect(window.size).toBe(size);
    roundTrip(window, 2000, 40);
    expect(window.size).toBe(size / 2);
    for (let round = 0; round < 9; round += 1) roundTrip(window, 3000 + 100 * round, 40);
    expect(window.size).toBe(2 * MAX_CHUNK_BYTES);
  });

  test("grows while a round trip takes two milliseconds or less, however short the shortest was", () => {
    const window = new ChunkWindow();
    for (const ms of [0.01, 0.1, 0.5, 2]) roundTrip(window, ms * 1000, ms);
    expect(window.size).toBe(32 * MAX_CHUNK_BYTES);
    roundTrip(window, 3000, 3);
    expect(window.size).toBe(32 * MAX_CHUNK_BYTES);
  });

  test("is one chunk while something small is sent, where larger ones take longer, and grows after that", () => {
    const window = new ChunkWindow();
    for (const ms of [0.1, 0.2, 0.4, 0.8]) roundTrip(window, ms * 1000, ms);
    for (let round = 0; round < 3; round += 1) {
      while (window.hasRoom) window.sent(MAX_CHUNK_BYTES, 2000 + round);
      window.shared();
      window.acknowledged(MAX_WINDOW_BYTES, 2000.2 + round);
    }
    expect(window.size).toBe(MAX_CHUNK_BYTES);
    roundTrip(window, 3000, 0.2);
    roundTrip(window, 4000, 0.4);
    expect(window.size).toBeGreaterThanOrEqual(4 * MAX_CHUNK_BYTES);
  });

  test("stays as large as makes no queue while something small is sent", () => {
    const window = new ChunkWindow();
    for (let round = 0; round < 6; round += 1) {
      window.shared();
      roundTrip(window, round * 100, 50);
    }
    expect(window.size).toBeGreaterThan(16 * MAX_CHUNK_BYTES);
  });

  test("asks for an acknowledgement of the last bytes that fit, as long as less is acknowledged without that", () => {
    const window = new ChunkWindow();
    window.shared();
    expect(window.mustAsk(MAX_CHUNK_BYTES - 1)).toBe(false);
    expect(window.mustAsk(MAX_CHUNK_BYTES)).toBe(true);
    for (let round = 0; round < 6; round += 1) roundTrip(window, round * 100, 50);
    expect(window.mustAsk(MAX_WINDOW_BYTES)).toBe(false);
  });

  test("has room for bytes that ask, if it shrank while bytes that didn't were on their way", () => {
    const window = new ChunkWindow();
    window.sent(100_000, 0);
    window.shared();
    expect([window.hasRoom, window.mustAsk(1)]).toEqual([true, true]);
    window.sent(1, 0);
    expect(window.hasRoom).toBe(false);
    window.acknowledged(100_001, 1);
    expect(window.hasRoom).toBe(true);
  });

  test("doesn't grow while it isn't full", () => {
    const window = new ChunkWindow();
    for (let round = 0; round < 5; round += 1) {
      window.sent(1000, round * 100);
      window.acknowledged(1000, round * 100 + 10);
    }
    expect(window.size).toBe(2 * MAX_CHUNK_BYTES);
  });
});
