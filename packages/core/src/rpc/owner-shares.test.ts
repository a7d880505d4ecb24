import { expect, test } from "vitest";
import { OwnerShares } from "./owner-shares.ts";

test("a user gets half of the count at most, and all together no more than there is", () => {
  const shares = new OwnerShares(4, 1000);
  for (const owner of ["ada", "ada", "bob"]) shares.add(owner, 1);
  expect([shares.hasRoom("ada"), shares.hasRoom("bob"), shares.hasRoom("cleo")]).toEqual([false, true, true]);
  shares.add("cleo", 1);
  expect([shares.hasRoom("bob"), shares.hasRoom("dan")]).toEqual([false, false]);
  shares.delete("ada", 1);
  expect([shares.hasRoom("ada"), shares.count, shares.bytes]).toEqual([true, 3, 3]);
});

test("a user gets half of the bytes at most, and all together no more than there are", () => {
  const shares = new OwnerShares(100, 1000);
  expect([shares.hasRoomFor("ada", 500), shares.hasRoomFor("ada", 501)]).toEqual([true, false]);
  shares.add("ada", 400);
  expect([shares.hasRoomFor("ada", 100), shares.hasRoomFor("ada", 101)]).toEqual([true, false]);
  shares.add("bob", 500);
  expect([shares.hasRoom("bob"), shares.hasRoomFor("ada", 100), shares.hasRoomFor("ada", 101)]).toEqual([
    false,
    true,
    false,
  ]);
});
