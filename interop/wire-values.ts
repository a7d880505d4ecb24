/** Values that must arrive unchanged from either side, by their name in test titles. */
export const wireValues: Readonly<Record<string, unknown>> = {
  "a timestamp in milliseconds": 1_767_225_599_999,
  "the largest exact integer": Number.MAX_SAFE_INTEGER,
  "the smallest exact integer": Number.MIN_SAFE_INTEGER,
  "the first integer that a double rounds": 9_007_199_254_740_993n,
  "the largest int64": 2n ** 63n - 1n,
  "the smallest int64": -(2n ** 63n),
  "the largest uint64": 2n ** 64n - 1n,
  "a fraction": -0.1,
  "a date": new Date("2026-01-02T03:04:05.678Z"),
  "a short binary": new Uint8Array([0, 1, 127, 128, 255]),
  "an empty binary": new Uint8Array(0),
  "a text in many scripts": "naïve – 日本語 – العربية – 👩‍👩‍👧 – \u0000 – \u{10ffff}",
  "a nested map with null and flags": {
    none: null,
    yes: true,
    no: false,
    list: [[], {}, [1, [2]]],
    ключ: "значение",
  },
};

/** Returns 1 MiB that contains every byte value and no two equal pages. */
export function mebibyte(): Uint8Array {
  return new Uint8Array(1024 * 1024).map((_, index) => (index * 31 + (index >> 8)) & 0xff);
}

/** Compresses to a fraction of its 240,000 bytes, but not below a hundredth. */
export const longText: string = Array.from(
  { length: 5000 },
  (_, n) => `${n}: all work and no play makes Jack a dull boy. `,
).join("");
