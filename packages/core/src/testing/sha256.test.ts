import { createHash, createHmac, randomBytes } from "node:crypto";
import { expect, test } from "vitest";
import { hmacSha256, sha256 } from "./sha256.ts";

// Around the ends of the first blocks, where the padding begins another one.
const lengths = [...Array(200).keys(), 1000];

test("digests as Node.js does", () => {
  for (const length of lengths) {
    const data = randomBytes(length);
    expect(Buffer.from(sha256(data))).toEqual(createHash("sha256").update(data).digest());
  }
});

test("makes codes as Node.js does, with short and long keys", () => {
  for (const length of lengths) {
    const [key, data] = [randomBytes(length), randomBytes(length)];
    expect(Buffer.from(hmacSha256(key, data))).toEqual(createHmac("sha256", key).update(data).digest());
  }
});
