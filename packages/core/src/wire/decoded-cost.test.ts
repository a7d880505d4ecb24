import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import * as worst from "../test-support/worst-values.ts";
import {
  ARRAY_COST,
  BIGINT_COST,
  BINARY_COST,
  BYTE_COST,
  DATE_COST,
  EXTENSION_COST,
  HASH_TABLE_COST,
  KNOWN_KEY_COST,
  LATER_KEY_COST,
  MAP_COST,
  NUMBER_COST,
  SLOT_COST,
  STRING_COST,
  UTF8_COST,
} from "./decoded-cost.ts";
import { ValueReader } from "./value-reader.ts";

const MAX_COST = 1024 * 1024;

function costOf(value: readonly number[]): number {
  const reader = new ValueReader();
  reader.decode(Uint8Array.from(value), 0, value.length, false);
  return reader.cost;
}

describe("the charges of decoded values", () => {
  test.each(Object.keys(worst.VALUES))("refuse a message full of %s", (kind) => {
    const bytes = worst.messageOf(kind, MAX_COST);
    const reader = new ValueReader();
    expect(() => reader.decode(bytes, 0, bytes.length, false, MAX_COST)).toThrow(
      expect.objectContaining({ code: ErrorCode.DECODED_TOO_LARGE }),
    );
  });

  const manyKeys = Array.from({ length: 17 }, (_, place) => [0xa1, 0x61 + place, 0xc0]).flat();
  // In a message full of them, the charges for their slots exceed the limit first.
  test.each([
    ["an empty array", [0x90], ARRAY_COST],
    ["an empty map", [0x80], MAP_COST],
    ["a map with a known key", [0x81, 0xa1, 0x61, 0xc0], MAP_COST + KNOWN_KEY_COST],
    [
      "a map with more keys than a shape has",
      [0xde, 0, 17, ...manyKeys],
      MAP_COST + 17 * KNOWN_KEY_COST + HASH_TABLE_COST + LATER_KEY_COST + BYTE_COST,
    ],
    ["a float of 32 bits", [0xca, 0x3f, 0x81, 1, 1], NUMBER_COST],
    ["a float of 64 bits", [0xcb, 0x3f, 0xf1, 1, 1, 1, 1, 1, 1], NUMBER_COST],
    ["an integer of 32 bits", [0xce, 0xff, 1, 1, 1], NUMBER_COST],
    ["an integer of 64 bits", [0xcf, 0xff, 1, 1, 1, 1, 1, 1, 1], BIGINT_COST],
    ["a signed integer of 64 bits", [0xd3, 0x80, 1, 1, 1, 1, 1, 1, 1], BIGINT_COST],
    ["an empty string", [0xd9, 0], STRING_COST],
    ["a string that is not ASCII", [0xa2, 0xc3, 0xa9], STRING_COST + 2 * BYTE_COST + UTF8_COST],
    ["an empty binary", [0xc4, 0], BINARY_COST],
    ["a binary of two bytes", [0xc4, 2, 1, 1], BINARY_COST + 2 * BYTE_COST],
    ["an extension value", [0xd4, 5, 1], EXTENSION_COST + BINARY_COST + BYTE_COST],
    ["a timestamp", [0xd6, 0xff, 0x50, 1, 1, 1], DATE_COST],
  ])("count %s for itself, beside its place", (_kind, value, cost) => {
    expect(costOf([0x92, ...value, ...value]) - costOf([0x91, ...value])).toBe(SLOT_COST + cost);
  });

  test("come before the value: an array is refused by its header", () => {
    const bytes = new Uint8Array(5 + 65_536).fill(0xc1);
    bytes.set([0xdd, 0, 1, 0, 0]);
    expect(() => new ValueReader().decode(bytes, 0, bytes.length, false, MAX_COST - 1)).toThrow(
      expect.objectContaining({ code: ErrorCode.DECODED_TOO_LARGE }),
    );
  });

  test("take a value that takes exactly as much as allowed, and refuse it with one byte less", () => {
    const bytes = Uint8Array.from([0x92, 0xc4, 1, 7, 0xa2, 0x61, 0x62]);
    const cost = costOf([...bytes]);
    const read = (maxCost: number): unknown => new ValueReader().decode(bytes, 0, bytes.length, false, maxCost);
    expect(() => read(cost)).not.toThrow();
    expect(() => read(cost - 1)).toThrow(expect.objectContaining({ code: ErrorCode.DECODED_TOO_LARGE }));
  });

  test("are low for keys that the map before had in the same places", () => {
    const one = [0x82, 0xa1, 0x61, 0xc0, 0xa1, 0x62, 0xc0];
    const first = costOf([0x91, ...one]);
    const both = costOf([0x92, ...one, ...one]);
    expect(both - first).toBeLessThan(first / 4);
  });

  test("are high for a key behind a new one, which makes a shape of its own", () => {
    const reader = new ValueReader();
    const read = (...bytes: number[]): number => {
      reader.decode(Uint8Array.from(bytes), 0, bytes.length, false);
      return reader.cost;
    };
    // A key that was read before isn't charged as a string.
    read(0x84, 0xa1, 0x61, 0xc0, 0xa1, 0x62, 0xc0, 0xa1, 0x63, 0xc0, 0xa1, 0x64, 0xc0);
    const known = read(0x82, 0xa1, 0x61, 0xc0, 0xa1, 0x62, 0xc0);
    const other = read(0x82, 0xa1, 0x63, 0xc0, 0xa1, 0x62, 0xc0);
    const last = read(0x82, 0xa1, 0x63, 0xc0, 0xa1, 0x64, 0xc0);
    expect(other - known).toBe(2 * (last - known));
  });

  test("for integer keys in a row grow with their number, not with its square", () => {
    const keys = (count: number): number[] =>
      Array.from({ length: count }, (_, index) => {
        const text = Buffer.from(String(index));
        return [0xa0 + text.length, ...text, 0xc0];
      }).flat();
    const thousand = costOf([0xde, 0x03, 0xe8, ...keys(1000)]);
    const fourThousand = costOf([0xde, 0x0f, 0xa0, ...keys(4000)]);
    expect(fourThousand / thousand).toBeLessThan(5);
  });
});
