import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { decodeBase64, encodeBase64 } from "./base64.ts";

const utf8 = new TextEncoder();

describe("base64", () => {
  test.each([
    ["", ""],
    ["f", "Zg=="],
    ["fo", "Zm8="],
    ["foo", "Zm9v"],
    ["foob", "Zm9vYg=="],
    ["fooba", "Zm9vYmE="],
    ["foobar", "Zm9vYmFy"],
  ])("writes and reads the RFC 4648 vector %j", (text, encoded) => {
    expect(encodeBase64(utf8.encode(text))).toBe(encoded);
    expect(decodeBase64(encoded)).toEqual(utf8.encode(text));
  });

  test("reads back any bytes that it wrote", () => {
    fc.assert(
      fc.property(fc.uint8Array(), (bytes) => {
        expect(decodeBase64(encodeBase64(bytes))).toEqual(bytes);
      }),
    );
  });

  test("reads texts that are longer than regular expressions take", () => {
    expect(decodeBase64("A".repeat(16 * 1024 * 1024))).toHaveLength(12 * 1024 * 1024);
    expect(decodeBase64(`${"A".repeat(16 * 1024 * 1024)}!!!!`)).toBeNull();
  });

  test("has one spelling for each byte string", () => {
    fc.assert(
      fc.property(fc.base64String(), (text) => {
        const bytes = decodeBase64(text);
        if (bytes !== null) expect(encodeBase64(bytes)).toBe(text);
      }),
    );
  });

  test.each([
    ["missing padding", "Zg"],
    ["too little padding", "Zg="],
    ["too much padding", "Zg==="],
    ["nothing but padding", "===="],
    ["a single digit", "Z==="],
    ["padding in the middle", "Zg==Zg=="],
    ["a line break", "Zm9v\nZm9"],
    ["a space", "Zm 9"],
    ["the URL alphabet", "_-_-"],
    ["a character beyond ASCII", "Zm9ÿ"],
    ["bits that the padding cuts off", "Zh=="],
    ["two bits that the padding cuts off", "Zm9="],
  ])("refuses %s", (_, text) => {
    expect(decodeBase64(text)).toBeNull();
  });
});
