import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { RateLimiter } from "./token-bucket.ts";

/** Returns how many of `count` messages pass at `now`. */
function passing(limiter: RateLimiter, now: number, count: number, bytes = 1): number {
  let passed = 0;
  for (let sent = 0; sent < count; sent++) {
    if (limiter.take(now, bytes) === 0) passed++;
  }
  return passed;
}

describe("RateLimiter", () => {
  test("without limits lets everything pass", () => {
    expect(passing(new RateLimiter({}), 0, 10_000, 1e9)).toBe(10_000);
  });

  test("lets a second's worth of messages pass at once", () => {
    expect(passing(new RateLimiter({ messagesPerSecond: 10 }), 0, 100)).toBe(10);
  });

  test("lets a second's worth of bytes pass at once", () => {
    expect(passing(new RateLimiter({ bytesPerSecond: 1000 }), 0, 100, 100)).toBe(10);
  });

  test("refills at the rate and never holds more than a second's worth", () => {
    const limiter = new RateLimiter({ messagesPerSecond: 10 });
    passing(limiter, 1000, 100);
    expect(passing(limiter, 1300, 100)).toBe(3);
    expect(passing(limiter, 60_000, 100)).toBe(10);
  });

  test("allows what a peer without a stream could not send, once", () => {
    const limiter = new RateLimiter({ messagesPerSecond: 10, bytesPerSecond: 10 });
    passing(limiter, 1000, 100);
    limiter.allow(1000, 1500);
    expect(passing(limiter, 1500, 100)).toBe(5);
    // It was idle for a second before it lost its stream for three.
    limiter.allow(2500, 5500);
    expect(passing(limiter, 5500, 100)).toBe(40);
    limiter.allow(62_500, 65_500);
    expect(passing(limiter, 65_500, 100)).toBe(40);
    limiter.allow(65_400, 65_500);
    expect(passing(limiter, 65_500, 100)).toBe(0);
  });

  test("says after how many seconds to try again", () => {
    const limiter = new RateLimiter({ messagesPerSecond: 10 });
    passing(limiter, 0, 10);
    expect(limiter.take(0, 1)).toBe(0.1);
    expect(limiter.take(60, 1)).toBe(0.04);
  });

  test("waits for whichever limit is further off", () => {
    const limiter = new RateLimiter({ messagesPerSecond: 10, bytesPerSecond: 100 });
    expect(limiter.take(0, 100)).toBe(0);
    expect(limiter.take(0, 50)).toBe(0.5);
  });

  test("takes nothing for what it refuses", () => {
    const limiter = new RateLimiter({ messagesPerSecond: 2, bytesPerSecond: 100 });
    expect(limiter.take(0, 60)).toBe(0);
    expect(limiter.take(0, 60)).toBeGreaterThan(0);
    expect(limiter.take(0, 40)).toBe(0);
  });

  test("lets a message larger than a second's worth pass when the bucket is full, and makes the next one wait", () => {
    const limiter = new RateLimiter({ bytesPerSecond: 1000 });
    expect(limiter.take(0, 5000)).toBe(0);
    expect(limiter.take(0, 1)).toBe(4.001);
    expect(limiter.take(4000, 5000)).toBe(1);
    expect(limiter.take(5000, 5000)).toBe(0);
  });

  test("holds a rate below one message per second", () => {
    const limiter = new RateLimiter({ messagesPerSecond: 0.5 });
    expect(limiter.take(0, 1)).toBe(0);
    expect(limiter.take(0, 1)).toBe(2);
    expect(limiter.take(2000, 1)).toBe(0);
  });

  test("gives nothing for a clock that goes back", () => {
    const limiter = new RateLimiter({ messagesPerSecond: 1 });
    expect(limiter.take(1000, 1)).toBe(0);
    expect(limiter.take(0, 1)).toBe(1);
    expect(limiter.take(1500, 1)).toBe(0.5);
  });

  test.each([0, -1, Number.NaN, Number.POSITIVE_INFINITY])("refuses a limit of %d", (limit) => {
    const refusal = expect.objectContaining({ code: ErrorCode.INVALID_CONFIG });
    expect(() => new RateLimiter({ messagesPerSecond: limit })).toThrow(refusal);
    expect(() => new RateLimiter({ bytesPerSecond: limit })).toThrow(refusal);
  });

  test("lets a message pass that waited as long as it was told", () => {
    const rate = fc.double({ min: 0.1, max: 1e6, noNaN: true });
    const message = fc.record({ gapMs: fc.double({ min: 0, max: 500, noNaN: true }), bytes: fc.nat(100_000) });
    fc.assert(
      fc.property(rate, rate, fc.array(message), (messagesPerSecond, bytesPerSecond, messages) => {
        const limiter = new RateLimiter({ messagesPerSecond, bytesPerSecond });
        let now = 1000;
        for (const { gapMs, bytes } of messages) {
          now += gapMs;
          const wait = limiter.take(now, bytes);
          if (wait === 0) continue;
          now += wait * 1000;
          expect(limiter.take(now, bytes)).toBe(0);
        }
      }),
    );
  });
});
