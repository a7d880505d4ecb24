import { ExtData } from "@msgpack/msgpack";
import { float64 } from "@netconduit/core";
import fc from "fast-check";
import { type Form, type FormEntry, floatForm, hexOf } from "./canonical.ts";

/** Keys that this library rejects. */
export const FORBIDDEN_KEYS: readonly string[] = ["__proto__", "constructor", "prototype"];

/** Integers at which the format changes, and their neighbours. */
const EDGES: readonly bigint[] = [0n, 5n, 7n, 8n, 15n, 16n, 31n, 32n, 53n, 63n, 64n].flatMap((bits) => {
  const edge = 2n ** bits;
  return [edge - 1n, edge, edge + 1n, 1n - edge, -edge, -edge - 1n];
});

const MIN_INT64 = -(2n ** 63n);
const MAX_UINT64 = 2n ** 64n - 1n;

function fits(value: bigint): boolean {
  return value >= MIN_INT64 && value <= MAX_UINT64;
}

const integers: fc.Arbitrary<bigint> = fc.oneof(
  fc.constantFrom(...EDGES.filter(fits)),
  fc.bigInt({ min: MIN_INT64, max: MAX_UINT64 }),
  fc.bigInt({ min: -300n, max: 70_000n }),
);

/** Integers that MessagePack can't represent. */
export const tooLarge: fc.Arbitrary<bigint> = fc.oneof(
  fc.bigInt({ min: MAX_UINT64 + 1n, max: 2n ** 70n }),
  fc.bigInt({ min: -(2n ** 70n), max: MIN_INT64 - 1n }),
);

const floats: fc.Arbitrary<number> = fc.oneof(
  fc.double(),
  fc.float(),
  fc.constantFrom(-0, Number.NaN, 2 ** 53, -(2 ** 53), 2 ** 64, 5e-324, 1.7976931348623157e308),
);

/** Strings of all scripts, and of lengths at which the format changes. */
const texts: fc.Arbitrary<string> = fc.oneof(
  { weight: 4, arbitrary: fc.string({ unit: "binary" }) },
  { weight: 2, arbitrary: fc.string({ unit: "grapheme" }) },
  fc.constantFrom(
    ...[31, 32, 255, 256, 65_535, 65_536].map((length) => "é".repeat(length >> 1).padEnd(length - (length >> 1), "x")),
  ),
  fc.constantFrom("\u0000", "\ufeff", "\ufffd", "\u{10ffff}", "\ud7ff\ue000"),
);

const binaries: fc.Arbitrary<Uint8Array> = fc.oneof(
  { weight: 4, arbitrary: fc.uint8Array() },
  fc.constantFrom(...[255, 256, 16_384, 65_535, 65_536].map((length) => new Uint8Array(length).fill(length))),
);

const extensionBytes: fc.Arbitrary<Uint8Array> = fc.oneof(
  fc.uint8Array({ maxLength: 20 }),
  fc.constantFrom(...[1, 2, 4, 8, 16, 255, 256, 65_536].map((length) => new Uint8Array(length))),
);

const keys: fc.Arbitrary<string> = fc
  .oneof(texts, fc.constantFrom("", "0", "1", "4294967295", "toString"))
  .filter((key) => !FORBIDDEN_KEYS.includes(key));

/** Strings with a lone surrogate, which UTF-8 can't represent. */
export const loneSurrogates: fc.Arbitrary<string> = fc
  .tuple(fc.string(), fc.constantFrom("\ud800", "\udbff", "\udc00", "\udfff"), fc.string())
  .map((parts) => parts.join(""));

/** Values of all types that this library can send and Python can read. */
export const values: fc.Arbitrary<unknown> = fc.letrec((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom(null, true, false),
    integers,
    integers.map((value) => (Number.isSafeInteger(Number(value)) ? Number(value) : value)),
    floats,
    floats.map(float64),
    texts,
    binaries,
    binaries.map((bytes) => bytes.slice().buffer),
    fc.date({ noInvalidDate: true }),
    fc.tuple(fc.nat(127), extensionBytes).map(([type, data]) => new ExtData(type, data)),
    fc.array(tie("value"), { maxLength: 20 }),
    fc.dictionary(keys, tie("value"), { maxKeys: 20, noNullPrototype: true }),
    fc.array(fc.tuple(keys, tie("value")), { maxLength: 4 }).map((entries) => new Map(entries)),
  ),
})).value;

const times: fc.Arbitrary<Form> = fc
  .tuple(
    fc.oneof(
      fc.constantFrom(...EDGES.filter((edge) => edge < 2n ** 40n && edge > -(2n ** 40n))),
      fc.bigInt({ min: MIN_INT64, max: 2n ** 63n - 1n }),
    ),
    fc.oneof(
      fc.nat(999).map((ms) => ms * 1_000_000),
      fc.nat(999_999_999),
    ),
  )
  .map(([seconds, nanoseconds]): Form => ["time", String(seconds), nanoseconds]);

/** Forms of values that Python can pack; this library rejects some. */
export const forms: fc.Arbitrary<Form> = fc.letrec<{ form: Form }>((tie) => ({
  form: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.constantFrom(null, true, false),
    integers.map((value): Form => ["int", String(value)]),
    floats.map(floatForm),
    texts.map((text): Form => ["str", text]),
    binaries.map((bytes): Form => ["bin", hexOf(bytes)]),
    times,
    fc.tuple(fc.nat(127), extensionBytes).map(([type, data]): Form => ["ext", type, hexOf(data)]),
    fc.array(tie("form"), { maxLength: 20 }).map((items): Form => ["list", ...items]),
    fc
      .uniqueArray(
        fc.tuple(fc.oneof({ weight: 30, arbitrary: keys }, fc.constantFrom(...FORBIDDEN_KEYS)), tie("form")),
        {
          maxLength: 20,
          selector: ([key]) => key,
        },
      )
      .map((entries): Form => ["map", ...entries.map(([key, item]): FormEntry => [["str", key], item])]),
  ),
})).form;

type Format = readonly [head: number, countBytes: 0 | 1 | 2 | 4];

/** A value in one of these formats. A count that is too large for the format is truncated. */
function inAnyFormat(formats: readonly Format[], body: fc.Arbitrary<{ count: number; bytes: Uint8Array }>) {
  return fc.tuple(fc.constantFrom(...formats), body).map(([[head, countBytes], { count, bytes }]) => {
    if (countBytes === 0) return Buffer.from([head | (count & 0x0f), ...bytes]);
    const counted = Buffer.alloc(4);
    counted.writeUInt32BE(count);
    return Buffer.concat([Buffer.from([head]), counted.subarray(4 - countBytes), bytes]);
  });
}

/** A head byte, and the number of bytes after it. */
const FIXED_FORMATS: readonly (readonly [head: number, bytes: number])[] = [
  ...Array.from({ length: 128 }, (_, head) => [head, 0] as const),
  ...Array.from({ length: 32 }, (_, low) => [0xe0 + low, 0] as const),
  ...([0xc0, 0xc1, 0xc2, 0xc3] as const).map((head) => [head, 0] as const),
  ...([4, 8, 1, 2, 4, 8, 1, 2, 4, 8, 2, 3, 5, 9, 17] as const).map((bytes, index) => [0xca + index, bytes] as const),
];

const byte = fc.nat(255);
const encodedTexts = fc.oneof(
  { weight: 4, arbitrary: fc.string({ unit: "binary", maxLength: 15 }).map((text) => Buffer.from(text)) },
  fc.constantFrom(...FORBIDDEN_KEYS).map((key) => Buffer.from(key)),
  fc.uint8Array({ maxLength: 15 }).map((bytes) => Buffer.from(bytes)),
);
const counted = (bytes: Uint8Array): { count: number; bytes: Uint8Array } => ({ count: bytes.length, bytes });
const timestampBytes = fc
  .tuple(fc.constantFrom(4, 8, 12, 5), fc.nat(999_999_999), fc.uint8Array({ minLength: 12, maxLength: 12 }))
  .map(([length, nanoseconds, random]) => {
    const bytes = Buffer.from(random).subarray(0, length);
    // Mostly whole milliseconds in the first centuries.
    if (length > 4 && nanoseconds % 3 > 0)
      bytes.writeUInt32BE((nanoseconds % 1000) * 1_000_000 * (length === 8 ? 4 : 1));
    if (length === 12 && nanoseconds % 3 > 1) bytes.writeInt32BE(-(nanoseconds & 1), 4);
    return { count: length, bytes: Buffer.concat([Buffer.from([0xff]), bytes]) };
  });

/** The formats of strings. */
const TEXT_FORMATS: readonly Format[] = [[0xa0, 0], [0xd9, 1], [0xda, 2], [0xdb, 4]]; // biome-ignore format: a table

const texted = inAnyFormat(TEXT_FORMATS, encodedTexts.map(counted));

/** Values in any MessagePack format, including longer formats than senders use, and some invalid ones. */
const encodings: fc.Arbitrary<Buffer> = fc.letrec<{ value: Buffer }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc
      .tuple(fc.constantFrom(...FIXED_FORMATS), fc.uint8Array({ minLength: 17, maxLength: 17 }))
      .map(([[head, bytes], random]) => Buffer.from([head, ...random.subarray(0, bytes)])),
    texted,
    inAnyFormat([[0xc4, 1], [0xc5, 2], [0xc6, 4]], fc.uint8Array({ maxLength: 20 }).map(counted)), // biome-ignore format: a table
    inAnyFormat(
      [[0xc7, 1], [0xc8, 2], [0xc9, 4]], // biome-ignore format: a table
      fc.oneof(
        timestampBytes,
        fc
          .tuple(byte, fc.uint8Array({ maxLength: 20 }))
          .map(([type, data]) => ({ count: data.length, bytes: Buffer.from([type, ...data]) })),
      ),
    ),
    inAnyFormat(
      [[0x90, 0], [0xdc, 2], [0xdd, 4]], // biome-ignore format: a table
      fc.array(tie("value"), { maxLength: 15 }).map((items) => ({ count: items.length, bytes: Buffer.concat(items) })),
    ),
    inAnyFormat(
      [[0x80, 0], [0xde, 2], [0xdf, 4]], // biome-ignore format: a table
      fc
        .array(fc.tuple(fc.oneof({ weight: 20, arbitrary: texted }, tie("value")), tie("value")), { maxLength: 15 })
        .map((entries) => ({ count: entries.length, bytes: Buffer.concat(entries.flat()) })),
    ),
  ),
})).value;

/** Encodings unchanged, truncated, with trailing bytes, or with one changed byte. */
export const encodedBytes: fc.Arbitrary<Buffer> = fc.oneof(
  { weight: 3, arbitrary: encodings },
  fc.tuple(encodings, fc.nat()).map(([bytes, cut]) => bytes.subarray(0, cut % (bytes.length + 1))),
  fc.tuple(encodings, encodings).map((both) => Buffer.concat(both)),
  fc.tuple(encodings, fc.nat(), byte).map(([bytes, at, value]) => {
    const changed = Buffer.from(bytes);
    changed[at % bytes.length] = value;
    return changed;
  }),
);
