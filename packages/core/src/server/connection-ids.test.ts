import { expect, test } from "vitest";
import type { RuntimeCrypto } from "../runtime.ts";
import { drawIds, hexToken, tokenBytes, uuid } from "./connection-ids.ts";

/** Counts up from 0, or is all of one byte. */
function crypto(byte?: number): RuntimeCrypto {
  const randomBytes = (count: number): Uint8Array => Uint8Array.from({ length: count }, (_, index) => byte ?? index);
  return { randomBytes } as RuntimeCrypto;
}

test("a token is the first 32 bytes that were drawn, in hexadecimal", () => {
  expect(hexToken(tokenBytes(drawIds(crypto())))).toBe(
    "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
  );
});

test("an id is the other 16, with the version and variant of a random UUID", () => {
  expect(uuid(drawIds(crypto()))).toBe("20212223-2425-4627-a829-2a2b2c2d2e2f");
  expect(uuid(drawIds(crypto(0xff)))).toBe("ffffffff-ffff-4fff-bfff-ffffffffffff");
});
