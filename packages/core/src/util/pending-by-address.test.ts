import { describe, expect, test } from "vitest";
import { PendingByAddress } from "./pending-by-address.ts";

function filled(...entries: [entry: string, address: string][]): PendingByAddress<string> {
  const pending = new PendingByAddress<string>();
  for (const [entry, address] of entries) pending.add(entry, address);
  return pending;
}

describe("PendingByAddress", () => {
  test("has no oldest entry when it is empty", () => {
    expect(new PendingByAddress().oldestOfLargest()).toBe(undefined);
  });

  test("names the oldest entry of the address that has most, not the oldest of all", () => {
    const pending = filled(["honest", "a"], ["first", "b"], ["second", "b"]);
    expect(pending.oldestOfLargest()).toBe("first");
  });

  test("names the oldest of all while every address has one", () => {
    expect(filled(["first", "a"], ["second", "b"]).oldestOfLargest()).toBe("first");
  });

  test("forgets an address with its last entry", () => {
    const pending = filled(["only", "a"]);
    expect(pending.delete("only", "a")).toBe(true);
    expect([pending.size, pending.addresses, pending.entries]).toEqual([0, 0, []]);
  });

  test("deletes an entry once", () => {
    const pending = filled(["one", "a"], ["two", "a"]);
    pending.delete("one", "a");
    expect(pending.delete("one", "a")).toBe(false);
    expect([pending.size, pending.oldestOfLargest()]).toEqual([1, "two"]);
  });

  test("lists all entries, those of one address together", () => {
    expect(filled(["one", "a"], ["two", "b"], ["three", "a"]).entries).toEqual(["one", "three", "two"]);
  });
});
