import { expect, test } from "vitest";
import { OwnerBudget } from "./owner-budget.ts";

test("a user's bytes of the window before count until the window has passed again", () => {
  const budget = new OwnerBudget(1000, 10);
  expect(budget.charge("ada", 6, 0)).toBe(true);
  expect(budget.charge("ada", 4, 999)).toBe(true);
  expect(budget.charge("ada", 1, 999)).toBe(false);
  // In the second window, bytes of the first may still be stored.
  expect(budget.charge("ada", 1, 1000)).toBe(false);
  expect(budget.charge("ada", 0, 1000)).toBe(true);
  // In the third window: there were none in the second.
  expect(budget.charge("ada", 10, 2000)).toBe(true);
});

test("a user who was away for two windows starts over, and users don't count against each other", () => {
  const budget = new OwnerBudget(1000, 10);
  expect(budget.charge("ada", 10, 0)).toBe(true);
  expect(budget.charge("bob", 10, 0)).toBe(true);
  expect(budget.charge("ada", 10, 1999)).toBe(false);
  expect(budget.charge("bob", 10, 2000)).toBe(true);
});

test("what wasn't kept after all is given back", () => {
  const budget = new OwnerBudget(1000, 10);
  budget.charge("ada", 10, 0);
  budget.refund("ada", 4);
  expect([budget.charge("ada", 5, 0), budget.charge("ada", 4, 0)]).toEqual([false, true]);
});
