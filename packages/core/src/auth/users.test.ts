import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { FEW_ITERATIONS } from "../test-support/peers.ts";
import { encodeBase64 } from "../util/base64.ts";
import { Users, type UsersSettings, type Verifier } from "./users.ts";
import { scramVerifier } from "./verifier.ts";

const NOW = 1_000_000;
const runtime = fakeRuntime();
const { crypto } = runtime;
const settings = { crypto, iterations: FEW_ITERATIONS, lookup: null, secret: new Uint8Array(32), wallClock: () => NOW };

function usersWith(changed: Partial<UsersSettings> = {}): Users {
  return new Users({ ...settings, ...changed });
}

describe("the users of a server", () => {
  test("are found by name, with what they may do", async () => {
    const users = usersWith();
    await users.set("ada", { password: "lovelace", roles: ["admin"], claims: { team: 7 } });
    const { user } = await users.find("ada");
    expect(user).toEqual({ name: "ada", roles: ["admin"], method: "scram", claims: { team: 7 } });
  });

  test("have the keys of their verifier", async () => {
    const verifier = await scramVerifier("lovelace", runtime, { iterations: 5000 });
    const users = usersWith();
    await users.set("ada", { verifier });
    const { salt, iterations, storedKey, serverKey } = (await users.find("ada")).keys;
    const [saltText, stored, server] = [salt, storedKey, serverKey].map(encodeBase64);
    expect(`SCRAM-SHA-256$${iterations}:${saltText}$${stored}:${server}`).toBe(verifier);
  });

  test("are nobody once they are deleted", async () => {
    const users = usersWith();
    await users.set("ada", { password: "lovelace" });
    expect(users.delete("ada")).toBe(true);
    expect((await users.find("ada")).user).toBeNull();
  });

  test("may come from a lookup, with or without roles", async () => {
    const verifier = await scramVerifier("lovelace", runtime, { iterations: FEW_ITERATIONS });
    const found = new Map<string, Verifier>([
      ["ada", verifier],
      ["bob", { verifier, roles: ["guest"] }],
    ]);
    const users = usersWith({ lookup: (name) => found.get(name) ?? null });
    expect((await users.find("ada")).user).toMatchObject({ name: "ada", roles: [] });
    expect((await users.find("bob")).user).toMatchObject({ name: "bob", roles: ["guest"] });
    expect((await users.find("eve")).user).toBeNull();
  });

  test("that a lookup in plain JavaScript answers with undefined don't exist", async () => {
    const users = usersWith({ lookup: () => undefined as never });
    expect((await users.find("ada")).user).toBeNull();
  });

  test("of the table come before those of the lookup, which is asked nevertheless, so that the time tells nothing", async () => {
    const asked: string[] = [];
    const users = usersWith({
      lookup: (name) => {
        asked.push(name);
        return null;
      },
    });
    await users.set("ada", { password: "lovelace" });
    expect((await users.find("ada")).user?.name).toBe("ada");
    expect(asked).toEqual(["ada"]);
  });

  test("of the lookup whose time is over are answered like names that don't exist", async () => {
    const verifier = await scramVerifier("lovelace", runtime, { iterations: FEW_ITERATIONS });
    const users = usersWith({
      lookup: (name) => ({ verifier, expiresAt: name === "early" ? NOW : NOW + 1 }),
    });
    expect(await users.find("early")).toEqual(await usersWith().find("early"));
    expect((await users.find("late")).user).toMatchObject({ name: "late", expiresAt: NOW + 1 });
  });

  test("with an unusable verifier reject the login", async () => {
    const users = usersWith({ lookup: () => "SCRAM-SHA-256$1:AAAA$AAAA:AAAA" });
    await expect(users.find("ada")).rejects.toMatchObject({ code: ErrorCode.INVALID_CONFIG });
  });

  test.each(["a\nb", "x".repeat(257), "netconduit", ""])("aren't looked up by the name %j", async (name) => {
    const users = usersWith({ lookup: () => Promise.reject(new Error("must not be asked")) });
    expect((await users.find(name)).user).toBeNull();
  });
});

describe("a name that doesn't exist", () => {
  test("has the same salt each time, with the iterations of all others", async () => {
    const [first, again] = [await usersWith().find("eve"), await usersWith().find("eve")];
    expect(first.keys).toEqual(again.keys);
    expect(first.keys).toMatchObject({ iterations: FEW_ITERATIONS, salt: { length: 16 } });
  });

  test("has a salt of its own, which needs the server's secret", async () => {
    const salts = [
      (await usersWith().find("eve")).keys.salt,
      (await usersWith().find("mallory")).keys.salt,
      (await usersWith({ secret: new Uint8Array(32).fill(1) }).find("eve")).keys.salt,
    ].map(encodeBase64);
    expect(new Set(salts).size).toBe(3);
  });

  test("takes the same work as one that does", async () => {
    const counts = { hmac: 0 };
    const counting = {
      ...crypto,
      hmacSha256: (key: Uint8Array, data: Uint8Array) => {
        counts.hmac += 1;
        return crypto.hmacSha256(key, data);
      },
    };
    const users = usersWith({ crypto: counting });
    await users.set("ada", { verifier: await scramVerifier("lovelace", runtime, { iterations: FEW_ITERATIONS }) });
    const work: number[] = [];
    for (const name of ["ada", "eve"]) {
      counts.hmac = 0;
      await users.find(name);
      work.push(counts.hmac);
    }
    expect(work).toEqual([3, 3]);
  });
});
