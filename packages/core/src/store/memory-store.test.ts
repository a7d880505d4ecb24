import { expect, test, vi } from "vitest";
import { memoryStore } from "./memory-store.ts";
import { isStore } from "./store.ts";

const bytes = (...values: number[]): Uint8Array => new Uint8Array(values);

test("a memory store keeps values until their time is over, and creates a key once", async () => {
  let nowMs = 1000;
  const store = memoryStore({ now: () => nowMs });
  expect(isStore(store)).toBe(true);
  const value = bytes(1, 2);
  expect(await store.create("a/1", value, 100)).toBe(true);
  value[0] = 9;
  expect(await store.create("a/1", bytes(3), 100)).toBe(false);
  await store.put("a/2", bytes(4), 50);
  await store.put("b/1", bytes(5), 100);
  expect(await store.get("a/1")).toEqual(bytes(1, 2));
  expect(await store.keys("a/", 10)).toEqual(["a/1", "a/2"]);
  expect(await store.keys("a/", 1)).toEqual(["a/1"]);
  nowMs += 50;
  expect(await store.get("a/2")).toBeNull();
  expect(await store.keys("a/", 10)).toEqual(["a/1"]);
  expect(await store.create("a/2", bytes(6), 50)).toBe(true);
  await store.delete("b/1");
  await store.delete("nothing");
  expect(await store.get("b/1")).toBeNull();
});

test("keeping a value doesn't look through all others", async () => {
  const store = memoryStore();
  const looks = vi.spyOn(Map.prototype, Symbol.iterator);
  for (let n = 0; n < 1000; n += 1) await store.put(`key/${n}`, bytes(1), 1000);
  const count = looks.mock.calls.length;
  looks.mockRestore();
  // Once each time the number of entries doubles.
  expect(count).toBeLessThan(20);
});

test("something else is no store", () => {
  expect([null, 1, {}, { isShared: false, get() {} }].map((value) => isStore(value))).toEqual([
    false,
    false,
    false,
    false,
  ]);
});
