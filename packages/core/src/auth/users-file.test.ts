import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { FEW_ITERATIONS } from "../test-support/peers.ts";
import { formatUsersFile, newUsersFile, parseUsersFile } from "./users-file.ts";
import { scramVerifier } from "./verifier.ts";

const runtime = fakeRuntime();
const verifier = await scramVerifier("lovelace", runtime, { iterations: FEW_ITERATIONS });
const secret = "A".repeat(43).concat("=");

describe("a file of users", () => {
  test("is read as it was written", () => {
    const file = { ...newUsersFile(runtime.crypto), users: new Map([["ada", { verifier, roles: ["admin"] }]]) };
    expect(parseUsersFile(formatUsersFile(file), "users.json")).toEqual(file);
  });

  test.each([
    ["text that isn't JSON", "users"],
    ["no users", JSON.stringify({ secret })],
    ["no secret", JSON.stringify({ users: {} })],
    ["a short secret", JSON.stringify({ secret: "AAAA", users: {} })],
    ["a user without a verifier", JSON.stringify({ secret, users: { ada: { password: "lovelace" } } })],
    ["a user that is none", JSON.stringify({ secret, users: { ada: null } })],
    ["a name that isn't allowed", JSON.stringify({ secret, users: { netconduit: { verifier } } })],
    ["roles that are none", JSON.stringify({ secret, users: { ada: { verifier, roles: "admin" } } })],
  ])("can't have %s", (_, text) => {
    expect(() => parseUsersFile(text, "users.json")).toThrow(
      expect.objectContaining({ code: ErrorCode.INVALID_CONFIG, message: expect.stringContaining("users.json") }),
    );
  });
});
