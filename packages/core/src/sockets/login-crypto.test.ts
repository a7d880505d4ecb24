import { createHash, createHmac, pbkdf2Sync, randomBytes, randomFillSync } from "node:crypto";
import { describe, expect, test } from "vitest";
import { hmacSha256, loginCrypto, RandomPool } from "./login-crypto.ts";

const sha256 = (data: Uint8Array): Uint8Array => createHash("sha256").update(data).digest();

describe("hmacSha256", () => {
  for (const keyBytes of [0, 1, 32, 63, 64, 65, 200]) {
    for (const dataBytes of [0, 1, 200, 1024, 1025, 5000]) {
      test(`is node:crypto's for a key of ${keyBytes} and data of ${dataBytes} bytes`, () => {
        const key = randomBytes(keyBytes);
        const data = randomBytes(dataBytes);
        const expected = createHmac("sha256", key).update(data).digest("hex");
        // Twice: what one call leaves in its buffers is nothing to the next.
        for (let time = 0; time < 2; time += 1) {
          expect(Buffer.from(hmacSha256(key, data, sha256)).toString("hex")).toBe(expected);
        }
      });
    }
  }
});

describe("RandomPool", () => {
  const pool = new RandomPool((bytes) => void randomFillSync(bytes));

  test("gives as many bytes as asked for, each call others", () => {
    const taken = Array.from({ length: 1000 }, () => Buffer.from(pool.take(18)).toString("hex"));
    expect(new Set(taken).size).toBe(1000);
    expect(new Set(taken.map(({ length }) => length))).toEqual(new Set([36]));
  });

  test("writes them where it is told to", () => {
    const into = new Uint8Array(18);
    expect(pool.take(18, into)).toBe(into);
    expect(into.every((byte) => byte === 0)).toBe(false);
  });

  test("gives more than it fetches at a time", () => {
    const bytes = pool.take(10_000);
    expect(bytes.length).toBe(10_000);
    expect(bytes.slice(-32).every((byte) => byte === 0)).toBe(false);
  });

  test("asks for at most 64 KiB at a time, which is all that getRandomValues gives", () => {
    const asked: number[] = [];
    new RandomPool((bytes) => void asked.push(bytes.length)).take(200_000);
    expect(Math.max(...asked)).toBeLessThanOrEqual(65_536);
    expect(asked.reduce((sum, count) => sum + count)).toBe(200_000);
  });

  test("gives arrays of their own: nobody sees what others were given", () => {
    const first = pool.take(16);
    expect([first.byteOffset, first.buffer.byteLength]).toEqual([0, 16]);
  });

  test("keeps nothing of what it gave", () => {
    let lent = new Uint8Array(0);
    const pool = new RandomPool((bytes) => {
      lent = bytes as Uint8Array<ArrayBuffer>;
      bytes.fill(7);
    });
    expect([...pool.take(3)]).toEqual([7, 7, 7]);
    expect([...lent.subarray(0, 4)]).toEqual([0, 0, 0, 7]);
  });
});

describe("loginCrypto", () => {
  const late = async (password: Uint8Array, salt: Uint8Array, iterations: number): Promise<Uint8Array> =>
    pbkdf2Sync(password, salt, iterations, 32, "sha256");

  test.each([
    ["a text", (data: Uint8Array) => Buffer.from(sha256(data)).toString("latin1")],
    ["memory of its own", sha256],
    [
      "the memory it was given",
      (data: Uint8Array, into: Uint8Array) => {
        into.set(sha256(data));
        return into;
      },
    ],
  ])("gives the same digests where a runtime's are %s", (_what, digest) => {
    const crypto = loginCrypto({
      sha256: digest,
      fillRandom: (bytes) => void randomFillSync(bytes),
      pbkdf2Sha256: late,
    });
    const [key, data] = [randomBytes(32), randomBytes(200)];
    const into = new Uint8Array(32);
    expect(Buffer.from(crypto.sha256(data, into) as Uint8Array)).toEqual(createHash("sha256").update(data).digest());
    expect(Buffer.from(crypto.hmacSha256(key, data, into) as Uint8Array)).toEqual(
      createHmac("sha256", key).update(data).digest(),
    );
  });

  test("gives plain arrays, whatever the runtime's own are", async () => {
    const crypto = loginCrypto({
      sha256,
      fillRandom: (bytes) => void randomFillSync(bytes),
      pbkdf2Sha256: async (password, salt, iterations) => pbkdf2Sync(password, salt, iterations, 32, "sha256"),
    });
    const data = Uint8Array.of(1);
    const results = [
      crypto.randomBytes(8),
      await crypto.sha256(data),
      await crypto.hmacSha256(data, data),
      await crypto.pbkdf2Sha256(data, data, 1),
    ];
    expect(results.map((result) => result.constructor)).toEqual(results.map(() => Uint8Array));
    expect(results.slice(1).map(({ length }) => length)).toEqual([32, 32, 32]);
  });
});
