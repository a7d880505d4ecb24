import { expect, test } from "vitest";
import { type Identity, makeUser } from "./user.ts";

test("an identity becomes a frozen user, without roles and claims by default", () => {
  const user = makeUser({ name: "ada" }, "token");
  expect(user).toEqual({ name: "ada", roles: [], method: "token", claims: {} });
  expect([user, user.roles, user.claims].every((part) => Object.isFrozen(part))).toBe(true);
});

test.each([
  ["text", "ada", "it must be an object or null"],
  ["no name", {}, "name must be a non-empty string"],
  ["a long name", { name: "a".repeat(257) }, "name must have at most 256 characters"],
  ["a name with a line feed", { name: "a\nb" }, "name must not contain control characters"],
  ["the name of nobody", { name: "netconduit" }, 'name must not be "netconduit"'],
  ["roles as text", { name: "ada", roles: "admin" }, "roles must be an array of non-empty strings"],
  ["an empty role", { name: "ada", roles: [""] }, "roles must be an array of non-empty strings"],
  ["claims as text", { name: "ada", claims: "all" }, "claims must be a plain object"],
  [
    "an end in seconds",
    { name: "ada", expiresAt: 1_900_000_000 },
    "expiresAt must be in milliseconds, and looks like seconds",
  ],
  ["an end that isn't a number", { name: "ada", expiresAt: Number.NaN }, "expiresAt must be a finite number"],
])("an identity that is %s is INVALID_CONFIG, and says why", (_what, identity, problem) => {
  expect(() => makeUser(identity as unknown as Identity, "token")).toThrow(
    expect.objectContaining({ codeName: "INVALID_CONFIG", message: expect.stringContaining(problem) }),
  );
});
