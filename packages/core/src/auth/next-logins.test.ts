import { describe, expect, test } from "vitest";
import { NEXT_LOGIN_MS, NEXT_LOGIN_TARGETS, NEXT_LOGINS_PER_TARGET } from "../limits.ts";
import { type KeyDerivation, loginTarget, NextLogins } from "./next-logins.ts";

function derivation(saltText = "AAAA", iterations = 4096): KeyDerivation {
  return { salt: new Uint8Array(3), saltText, iterations };
}

const one = derivation();

/** Takes the newest nonce for `target` at `nowMs`, as a login does. */
function next(logins: NextLogins, target = "a:1", nowMs = 0): string | null {
  const known = logins.peek(target, nowMs);
  return known === null ? null : logins.take(target, known);
}

describe("NextLogins", () => {
  test("gives each nonce out once, the newest first", () => {
    const logins = new NextLogins();
    for (const nonce of ["first", "second"]) logins.add("a:1", one, nonce, 0);
    expect([next(logins), next(logins), next(logins)]).toEqual(["second", "first", null]);
  });

  test("says by what the keys are derived, before a nonce is taken", () => {
    const logins = new NextLogins();
    expect(logins.peek("a:1", 0)).toBeNull();
    logins.add("a:1", one, "nonce", 0);
    expect(logins.peek("a:1", 0)).toBe(one);
  });

  test("tells servers apart", () => {
    const logins = new NextLogins();
    logins.add("a:1", one, "nonce", 0);
    expect([next(logins, "a:2"), next(logins, "a:1")]).toEqual([null, "nonce"]);
  });

  test("takes up a server again that was forgotten right after it was added", () => {
    const logins = new NextLogins();
    logins.add("a:1", one, "old", 0);
    logins.forget("a:1");
    logins.add("a:1", one, "new", 0);
    expect([next(logins), next(logins)]).toEqual(["new", null]);
  });

  test("forgets a nonce after ten minutes", () => {
    const logins = new NextLogins();
    logins.add("a:1", one, "nonce", 500);
    expect(logins.peek("a:1", 499 + NEXT_LOGIN_MS)).toBe(one);
    expect(logins.peek("a:1", 500 + NEXT_LOGIN_MS)).toBeNull();
    expect(logins.size).toBe(0);
  });

  test("lets old nonces go when new ones come", () => {
    const logins = new NextLogins();
    logins.add("a:1", one, "old", 0);
    logins.add("a:1", one, "new", NEXT_LOGIN_MS);
    expect([next(logins, "a:1", 1), next(logins, "a:1", 1)]).toEqual(["new", null]);
  });

  test("begins anew when a server derives its keys by something else", () => {
    const logins = new NextLogins();
    logins.add("a:1", one, "old", 0);
    for (const other of [derivation("BBBB"), derivation("BBBB", 5000)]) {
      logins.add("a:1", other, "new", 0);
      expect([logins.take("a:1", one), next(logins), next(logins)]).toEqual([null, "new", null]);
    }
  });

  test("keeps what goes with the same salt and iterations, told again", () => {
    const logins = new NextLogins();
    logins.add("a:1", one, "first", 0);
    logins.add("a:1", derivation(), "second", 0);
    expect([next(logins), next(logins)]).toEqual(["second", "first"]);
  });

  test("forgets a server when told to", () => {
    const logins = new NextLogins();
    logins.add("a:1", one, "nonce", 0);
    logins.forget("a:1");
    expect(next(logins)).toBeNull();
  });

  test("keeps 256 nonces of a server: the oldest go", () => {
    const logins = new NextLogins();
    for (let count = 0; count <= NEXT_LOGINS_PER_TARGET; count++) logins.add("a:1", one, String(count), 0);
    const taken: (string | null)[] = [];
    do taken.push(next(logins));
    while (taken.at(-1) !== null);
    expect(taken).toHaveLength(NEXT_LOGINS_PER_TARGET + 1);
    expect([taken[0], taken.at(-2)]).toEqual([String(NEXT_LOGINS_PER_TARGET), "1"]);
  });

  test("keeps 64 servers: the one logged in to longest ago goes", () => {
    const logins = new NextLogins();
    for (let port = 0; port < NEXT_LOGIN_TARGETS; port++) logins.add(`a:${port}`, one, "nonce", 0);
    logins.add("a:0", one, "again", 0);
    logins.add("b:0", one, "nonce", 0);
    expect(logins.size).toBe(NEXT_LOGIN_TARGETS);
    expect([next(logins, "a:0"), next(logins, "a:1"), next(logins, "a:2")]).toEqual(["again", null, "nonce"]);
  });
});

describe("loginTarget", () => {
  test("is another for each host, port, path, and with TLS", () => {
    const at = { host: "h", port: 1, tls: null };
    const names = [
      at,
      { ...at, host: "g" },
      { ...at, port: 2 },
      { ...at, tls: {} },
      { ...at, path: "/run/a" },
      { ...at, path: "/run/b" },
    ].map(loginTarget);
    expect(new Set(names).size).toBe(names.length);
    expect(loginTarget({ ...at })).toBe(names[0]);
  });
});
