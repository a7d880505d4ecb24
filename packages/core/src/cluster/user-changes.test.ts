import { expect, test } from "vitest";
import type { VerifiedUser } from "../auth/users.ts";
import { UserChanges } from "./user-changes.ts";

const ONE: VerifiedUser = { verifier: "one", roles: [], claims: {} };
const TWO: VerifiedUser = { verifier: "two", roles: [], claims: {} };

function scene(now = 1000) {
  const done: unknown[] = [];
  const clock = { now };
  const changes = new UserChanges({
    nodeId: "m",
    wallClock: () => clock.now,
    setUser: (name, user) => {
      done.push([name, user]);
    },
    revoke: (name) => {
      done.push(name);
      return 1;
    },
  });
  return { changes, done, clock };
}

test("A change is applied if it is later than the known one, but not if it is earlier or the same", () => {
  const { changes, done } = scene();
  changes.set("ada", ONE, { ms: 5, node: "a" });
  changes.set("ada", TWO, { ms: 4, node: "z" });
  changes.set("ada", TWO, { ms: 5, node: "a" });
  expect(done).toEqual([["ada", ONE]]);
  changes.set("ada", TWO, { ms: 6, node: "a" });
  expect(done).toEqual([
    ["ada", ONE],
    ["ada", TWO],
  ]);
});

test("Of changes in the same millisecond, the change by the node with the greater id counts as later", () => {
  const { changes, done } = scene();
  changes.set("ada", ONE, { ms: 5, node: "b" });
  changes.set("ada", TWO, { ms: 5, node: "a" });
  changes.set("ada", TWO, { ms: 5, node: "c" });
  expect(done).toEqual([
    ["ada", ONE],
    ["ada", TWO],
  ]);
});

test("An earlier revocation ends connections but doesn't remove the user that was set since", () => {
  const { changes, done } = scene();
  changes.set("ada", ONE, { ms: 5, node: "a" });
  expect(changes.revoke("ada", { ms: 4, node: "b" })).toBe(1);
  expect(changes.revoke("ada", { ms: 4, node: "b" })).toBe(0);
  expect(done).toEqual([["ada", ONE], "ada", ["ada", ONE]]);
});

test("A user that was revoked twice isn't set by a change older than the first revocation", () => {
  const { changes, done } = scene();
  expect(changes.revoke("ada", { ms: 5, node: "a" })).toBe(1);
  expect(changes.revoke("ada", { ms: 4, node: "b" })).toBe(0);
  changes.set("ada", ONE, { ms: 3, node: "b" });
  expect(changes.revoke("ada", { ms: 6, node: "b" })).toBe(1);
  expect(done).toEqual(["ada", "ada"]);
});

test("A change by this node is later than all changes that it has received, regardless of its clock", () => {
  const { changes, clock } = scene();
  changes.set("ada", ONE, { ms: 5000, node: "a" });
  expect(changes.record("ada", TWO)).toEqual({ ms: 5001, node: "m" });
  expect(changes.record("bob", null)).toEqual({ ms: 5002, node: "m" });
  clock.now = 6000.5;
  expect(changes.record("ada", null)).toEqual({ ms: 6000, node: "m" });
});

test("A change without a time or with an invalid time gets the time of its arrival", () => {
  const { changes } = scene(7);
  for (const stated of [undefined, 5, [], ["5", "a"], [5.5, "a"], [5, 6], [Number.NaN, "a"]]) {
    expect(changes.readTime(stated)).toEqual({ ms: 7, node: "m" });
  }
  expect(changes.readTime([5, "a"])).toEqual({ ms: 5, node: "a" });
});

test("Above the limit on users, the least recently changed user is dropped", () => {
  const { changes, done } = scene();
  for (let n = 0; n <= 10_000; n += 1) changes.revoke(`user ${n}`, { ms: 5, node: "a" });
  done.length = 0;
  changes.set("user 1", ONE, { ms: 4, node: "a" });
  changes.set("user 0", ONE, { ms: 4, node: "a" });
  expect(done).toEqual([["user 0", ONE]]);
});
