import { expect, test } from "vitest";
import type { VerifiedUser } from "../auth/users.ts";
import { MissedUserChanges } from "./missed-user-changes.ts";

const USER = {} as VerifiedUser;
const AT = { ms: 1, node: "x" };
const LATER = { ms: 2, node: "x" };

function usersOf(missed: MissedUserChanges, epoch: string): string[] {
  return missed.take(epoch, 100_000, true).map(({ user }) => user);
}

test("A change is sent once, again if unanswered, and not after it was confirmed", () => {
  const missed = new MissedUserChanges();
  const number = missed.add("ada", USER, AT, ["a", "b"]);
  expect(missed.take("a", 10, false)).toEqual([]);
  missed.unanswered("a", "ada", number);
  expect(missed.take("a", 10, false)).toMatchObject([{ user: "ada", revokedAt: null, set: USER, at: AT, number }]);
  expect(missed.take("a", 10, false)).toEqual([]);
  missed.confirmed("a", "ada", number);
  expect([usersOf(missed, "a"), usersOf(missed, "b")]).toEqual([[], ["ada"]]);
});

test("An answer for an earlier change doesn't confirm a later one, which includes the earlier revocation", () => {
  const missed = new MissedUserChanges();
  const revoked = missed.add("ada", null, AT, ["a"]);
  missed.add("ada", USER, LATER, ["a"]);
  missed.unanswered("a", "ada", revoked);
  expect(missed.take("a", 10, false)).toEqual([]);
  missed.confirmed("a", "ada", revoked);
  missed.confirmed("x", "ada", revoked);
  expect(missed.take("a", 10, true)).toMatchObject([{ user: "ada", revokedAt: AT, set: USER, at: LATER }]);
});

test("Changes for an ended run are dropped, as are the oldest above the limit; a run gets a limited number at a time", () => {
  const missed = new MissedUserChanges();
  missed.add("ada", null, AT, ["a", "b"]);
  missed.forget("a");
  missed.forget("never heard");
  expect([usersOf(missed, "a"), usersOf(missed, "b"), missed.revokedAt("a", "ada")]).toEqual([[], ["ada"], null]);
  for (let n = 0; n < 10_000; n += 1) missed.add(`user ${n}`, null, AT, ["c"]);
  expect([usersOf(missed, "b").length, usersOf(missed, "c").length]).toEqual([0, 10_000]);
  expect(missed.take("c", 3, true).map(({ user }) => user)).toEqual(["user 0", "user 1", "user 2"]);
});
