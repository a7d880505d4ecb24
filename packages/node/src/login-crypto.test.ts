import { createHash, createHmac, randomBytes } from "node:crypto";
import { describe, expect, test } from "vitest";
import { hmacSha256, sha256, takeRandomBytes } from "./login-crypto.ts";

describe("sha256", () => {
  test.each([0, 1, 55, 56, 64, 5000])("is node:crypto's for %i bytes", (count) => {
    const data = randomBytes(count);
    expect(Buffer.from(sha256(data)).toString("hex")).toBe(createHash("sha256").update(data).digest("hex"));
  });

  test("gives arrays of their own", () => {
    const first = sha256(randomBytes(9));
    expect([first.byteOffset, first.buffer.byteLength]).toEqual([0, 32]);
  });
});

describe("hmacSha256", () => {
  for (const keyBytes of [0, 1, 32, 63, 64, 65, 200]) {
    for (const dataBytes of [0, 1, 200, 1024, 1025, 5000]) {
      test(`is node:crypto's for a key of ${keyBytes} and data of ${dataBytes} bytes`, () => {
        const key = randomBytes(keyBytes);
        const data = randomBytes(dataBytes);
        const expected = createHmac("sha256", key).update(data).digest("hex");
        // Twice: what one call leaves in its buffers is nothing to the next.
        for (let time = 0; time < 2; time += 1) {
          expect(Buffer.from(hmacSha256(key, data)).toString("hex")).toBe(expected);
        }
      });
    }
  }
});

describe("takeRandomBytes", () => {
  test("gives as many bytes as asked for, each call others", () => {
    const taken = Array.from({ length: 1000 }, () => Buffer.from(takeRandomBytes(18)).toString("hex"));
    expect(new Set(taken).size).toBe(1000);
    expect(new Set(taken.map(({ length }) => length))).toEqual(new Set([36]));
  });

  test("gives more than it fetches at a time", () => {
    const bytes = takeRandomBytes(10_000);
    expect(bytes.length).toBe(10_000);
    expect(bytes.slice(-32).every((byte) => byte === 0)).toBe(false);
  });

  test("gives arrays of their own: nobody sees what others were given", () => {
    const first = takeRandomBytes(16);
    expect([first.byteOffset, first.buffer.byteLength]).toEqual([0, 16]);
  });
});
