import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { parseVerifier, scramVerifier } from "./verifier.ts";

const runtime = fakeRuntime();
/** A verifier created by PostgreSQL 16 for the password "pencil" and the salt of RFC 7677. */
const PENCIL =
  "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=";

describe("a verifier", () => {
  test("has the form of RFC 5803, with 15,000 iterations and a new salt", async () => {
    const [one, another] = [await scramVerifier("pencil", runtime), await scramVerifier("pencil", runtime)];
    expect(one).toMatch(/^SCRAM-SHA-256\$15000:[A-Za-z0-9+/]{22}==\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=$/);
    expect(another).not.toBe(one);
  });

  test("of another program is read", () => {
    expect(parseVerifier(PENCIL)).toMatchObject({ iterations: 4096, salt: { length: 16 } });
  });

  test.each([
    ["an empty password", "", {}],
    ["too few iterations", "pencil", { iterations: 4095 }],
    ["too many iterations", "pencil", { iterations: 1_000_001 }],
    ["a fraction of iterations", "pencil", { iterations: 5000.5 }],
  ])("isn't made of %s", async (_, password, options) => {
    await expect(scramVerifier(password, runtime, options)).rejects.toMatchObject({ code: ErrorCode.INVALID_CONFIG });
  });

  test.each([
    ["a password", "pencil"],
    ["another mechanism", PENCIL.replace("256", "1")],
    ["too few iterations", PENCIL.replace("4096", "4095")],
    ["iterations with a leading zero", PENCIL.replace("4096", "04096")],
    ["a short salt", PENCIL.replace("W22ZaJ0SNY7soEsUEjb6gQ==", "W22ZaA==")],
    ["a short key", PENCIL.replace("WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=", "WG5d8oPm")],
    ["a salt that isn't base64", PENCIL.replace("W22Z", "W22*")],
    ["something behind it", `${PENCIL} `],
    ["no text", null],
  ])("isn't %s", (_, text) => {
    expect(parseVerifier(text)).toBeNull();
  });
});
