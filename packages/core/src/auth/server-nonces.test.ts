import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { NEXT_LOGIN_MS, NEXT_LOGIN_WINDOW } from "../limits.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { WebRuntimeCrypto } from "../test-support/web-crypto.ts";
import { decodeBase64, encodeBase64 } from "./base64.ts";
import { SERVER_NONCE_CHARS, ServerNonces } from "./server-nonces.ts";

const { crypto } = fakeRuntime();

function make(options: { now?: () => number; firstSequence?: number } = {}): ServerNonces {
  return new ServerNonces(crypto, options.now ?? (() => 5000.5), options.firstSequence);
}

/** With cryptography that answers at once, so do they. */
function issue(nonces: ServerNonces): string {
  const nonce = nonces.issue();
  if (typeof nonce !== "string") throw new Error("a promise");
  return nonce;
}

describe("ServerNonces", () => {
  test("makes nonces of 24 letters of base64, no two of them alike", () => {
    const nonces = make();
    const made = Array.from({ length: 1000 }, () => issue(nonces));
    expect(made.every((nonce) => /^[A-Za-z0-9+/]{24}$/.test(nonce))).toBe(true);
    expect(new Set(made).size).toBe(1000);
    expect(made[0]).toHaveLength(SERVER_NONCE_CHARS);
  });

  test("takes each back once, in any order", () => {
    const nonces = make();
    const made = Array.from({ length: 20 }, () => issue(nonces));
    for (const nonce of [...made.slice(10), ...made.slice(0, 10)]) expect(nonces.redeem(nonce)).toBe(true);
    for (const nonce of made) expect(nonces.redeem(nonce)).toBe(false);
    expect(nonces.redeem(issue(nonces))).toBe(true);
  });

  test("works the same with cryptography that answers by promises, also for two that come at the same time", async () => {
    const nonces = new ServerNonces(new WebRuntimeCrypto(), () => 0);
    const nonce = await nonces.issue();
    // Which of the two is first, its cryptography says; one of them is.
    expect((await Promise.all([nonces.redeem(nonce), nonces.redeem(nonce)])).sort()).toEqual([false, true]);
  });

  test("tells apart those that are made, or come back, at the same time by promises", async () => {
    const nonces = new ServerNonces(new WebRuntimeCrypto(), () => 0);
    const made = await Promise.all(Array.from({ length: 5 }, () => nonces.issue()));
    const forged = encodeBase64(new Uint8Array(18));
    const redeemed = await Promise.all([...made, forged].map((nonce) => nonces.redeem(nonce)));
    expect(redeemed).toEqual([true, true, true, true, true, false]);
  });

  test("takes none back that is ten minutes old", () => {
    let nowMs = 123_456.7;
    const nonces = make({ now: () => nowMs });
    const [young, old] = [issue(nonces), issue(nonces)];
    nowMs += NEXT_LOGIN_MS - 1000;
    expect(nonces.redeem(young)).toBe(true);
    nowMs += 1000;
    expect(nonces.redeem(old)).toBe(false);
  });

  test("counts as used what more than 65,535 newer ones were made after", () => {
    const nonces = make();
    const [first, second] = [issue(nonces), issue(nonces)];
    const others = Array.from({ length: NEXT_LOGIN_WINDOW - 1 }, () => issue(nonces));
    expect([nonces.redeem(first), nonces.redeem(second), nonces.redeem(others.at(-1) ?? "")]).toEqual([
      false,
      true,
      true,
    ]);
  });

  test("does not take one for used because the one 65,536 before it was", () => {
    const nonces = make();
    expect(nonces.redeem(issue(nonces))).toBe(true);
    for (let count = 1; count < NEXT_LOGIN_WINDOW; count++) issue(nonces);
    const sameBit = issue(nonces);
    expect([nonces.redeem(sameBit), nonces.redeem(sameBit)]).toEqual([true, false]);
  });

  test("takes none of another server's, nor of its own from before a restart", () => {
    const [one, other] = [make(), make()];
    expect(other.redeem(issue(one))).toBe(false);
  });

  test("takes none back of which a single bit was changed", () => {
    const nonces = make();
    const bytes = decodeBase64(issue(nonces)) ?? new Uint8Array();
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const forged = bytes.slice();
      forged[bit >> 3] = (forged[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(nonces.redeem(encodeBase64(forged))).toBe(false);
    }
    expect(nonces.redeem(encodeBase64(bytes))).toBe(true);
  });

  test.each([
    ["nothing", () => ""],
    ["one letter less", (nonce: string) => nonce.slice(1)],
    ["one letter more", (nonce: string) => `${nonce}A`],
    ["padding", (nonce: string) => `${nonce.slice(0, 22)}==`],
    ["another alphabet", (nonce: string) => `-${nonce.slice(1)}`],
    ["a letter beyond ASCII", (nonce: string) => `é${nonce.slice(1)}`],
  ])("takes no text with %s", (_, change) => {
    const nonces = make();
    expect(nonces.redeem(change(issue(nonces)))).toBe(false);
  });

  test("takes nothing back that it has not made, whatever it is", () => {
    const nonces = make();
    issue(nonces);
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.uint8Array({ minLength: 18, maxLength: 18 }).map(encodeBase64)), (text) => {
        expect(nonces.redeem(text)).toBe(false);
      }),
    );
  });

  test("begins anew with another key when its sequence numbers are used up", () => {
    const nonces = make({ firstSequence: 2 ** 32 - 2 });
    const [used, last] = [issue(nonces), issue(nonces)];
    expect([nonces.redeem(used), nonces.redeem(used)]).toEqual([true, false]);
    const first = issue(nonces);
    expect([nonces.redeem(last), nonces.redeem(first), nonces.redeem(first)]).toEqual([false, true, false]);
  });

  test("takes none back from before it was told to begin anew", () => {
    const nonces = make();
    const [used, unused] = [issue(nonces), issue(nonces)];
    expect(nonces.redeem(used)).toBe(true);
    nonces.beginAnew();
    expect([nonces.redeem(used), nonces.redeem(unused), nonces.redeem(issue(nonces))]).toEqual([false, false, true]);
  });

  test("takes none back that was being looked at when it was told to", async () => {
    const nonces = new ServerNonces(new WebRuntimeCrypto(), () => 0);
    const redeemed = nonces.redeem(await nonces.issue());
    nonces.beginAnew();
    await nonces.issue();
    expect(await redeemed).toBe(false);
  });

  test("seals the number and the second of its making", () => {
    let nowMs = 0;
    const nonces = make({ now: () => nowMs, firstSequence: 0x01020304 });
    nowMs = 0x0a0b0c * 1000 + 999;
    const bytes = decodeBase64(issue(nonces));
    expect(bytes?.slice(0, 8)).toEqual(Uint8Array.of(1, 2, 3, 4, 0, 0x0a, 0x0b, 0x0c));
  });
});
