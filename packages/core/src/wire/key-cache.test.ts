import { describe, expect, test } from "vitest";
import { KeyCache } from "./key-cache.ts";

function find(cache: KeyCache, text: string): string {
  const bytes = Buffer.from(text);
  return cache.find(bytes, 0, bytes.length);
}

function store(cache: KeyCache, text: string): void {
  cache.store(text, Buffer.from(text), 0);
}

describe("KeyCache", () => {
  test("finds what was stored, again and again", () => {
    const cache = new KeyCache();
    store(cache, "method");
    expect([find(cache, "method"), find(cache, "method")]).toEqual(["method", "method"]);
  });

  test("finds nothing that was not stored", () => {
    const cache = new KeyCache();
    store(cache, "method");
    expect(["a", "methox", "metho", "methods"].map((text) => find(cache, text))).toEqual(["", "", "", ""]);
  });

  test("keeps a copy of the bytes", () => {
    const cache = new KeyCache();
    const bytes = Buffer.from("key");
    cache.store("key", bytes, 0);
    bytes.fill(0);
    expect(find(cache, "key")).toBe("key");
  });

  test("keeps several strings that fall into one set, and stays right when it forgets some", () => {
    const cache = new KeyCache();
    // Same length and same first, middle and last bytes, so all are in one set.
    const alike = Array.from({ length: 9 }, (_, i) => `a${i}bcdef`);
    for (const text of alike) store(cache, text);
    const found = alike.map((text) => find(cache, text));
    expect(found.filter((text) => text !== "")).toHaveLength(4);
    expect(found.every((text, i) => text === "" || text === alike[i])).toBe(true);
  });

  test("stays right over many more strings than it has room for", () => {
    const cache = new KeyCache();
    for (let i = 0; i < 20_000; i++) {
      store(cache, `key${i}`);
      if (find(cache, `key${i}`) !== `key${i}`) throw new Error(`key${i} was not found right after it was stored`);
    }
    const wrong = Array.from({ length: 20_000 }, (_, i) => `key${i}`).filter((text) => {
      const found = find(cache, text);
      return found !== "" && found !== text;
    });
    expect(wrong).toEqual([]);
  });
});
