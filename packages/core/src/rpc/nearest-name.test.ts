import { describe, expect, test } from "vitest";
import { didYouMean, nearestName } from "./nearest-name.ts";

const METHODS = ["add", "subtract", "users.list", "users.get", "getInvoice"];

describe("nearestName", () => {
  test.each([
    ["substract", "subtract"],
    ["users.lsit", "users.list"],
    ["user.get", "users.get"],
    ["get_invoice", "getInvoice"],
    ["ADD", "add"],
    ["ad", "add"],
  ])("of %s is %s", (name, nearest) => expect(nearestName(name, METHODS)).toBe(nearest));

  test.each([["multiply"], ["a"], ["x".repeat(65)], [""]])("of %j is none", (name) => {
    expect(nearestName(name, METHODS)).toBeNull();
  });

  test("is the one that differs least, whatever the order", () => {
    expect(nearestName("orders", ["border", "order"])).toBe("order");
    expect(nearestName("orders", ["order", "border"])).toBe("order");
  });
});

test("a message asks for the nearest name, or says nothing", () => {
  expect([didYouMean("ad", METHODS), didYouMean("multiply", METHODS)]).toEqual([" (did you mean 'add'?)", ""]);
});
