/**
 * Packs and unpacks the same values with this library and with Python's msgpack. PROTOCOL.md lists the differences
 * ("Values"); each has a test here.
 */
import { ConduitError, ErrorCode } from "@netconduit/core";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FrameWriter } from "../../packages/core/src/wire/frame-writer.ts";
import { ValueReader } from "../../packages/core/src/wire/value-reader.ts";
import { describeAbsence } from "../absence.ts";
import { PythonDriver, PythonError } from "../python-driver.ts";
import { pythonEnvironment } from "../python-environment.ts";
import { PATIENCE_MS } from "../scene.ts";
import { encodedBytes, FORBIDDEN_KEYS, forms, loneSurrogates, tooLarge, values } from "./arbitraries.ts";
import { asReceived, asSingle, type Form, formOf, hasKey, hexOf, inOrder, partsOf } from "./canonical.ts";

/** Error codes of values that Python accepts and this library rejects. */
const PYTHON_TAKES: ReadonlySet<number> = new Set([
  ErrorCode.FORBIDDEN_KEY,
  ErrorCode.TOO_DEEP,
  ErrorCode.UNREPRESENTABLE_VALUE,
]);
/** Python's error for extension types below 0, which this library accepts. */
const NEGATIVE_TYPE = "code must be 0~127";
const MAX_DEPTH = 128;
/** Factor for the number of runs. */
const TIMES = Number(process.env["MSGPACK_TIMES"] ?? 1);

function pack(value: unknown): string {
  const writer = new FrameWriter({ wallClock: () => 0, maxMessageBytes: 2 ** 24, compress: null });
  return hexOf(writer.encodeItem(value));
}

/** Returns the form of the value that this library reads. */
function read(hex: string): Form {
  const bytes = Uint8Array.from(Buffer.from(hex, "hex"));
  return inOrder(formOf(new ValueReader().decode(bytes, 0, bytes.length, false)));
}

function codeOf(body: () => unknown): number {
  try {
    body();
  } catch (error) {
    if (error instanceof ConduitError) return error.code;
    throw error;
  }
  return 0;
}

/** Returns whether a Date can represent a time. */
function isRepresentable(seconds: bigint, nanoseconds: number): boolean {
  const ms = seconds * 1000n + BigInt(Math.floor(nanoseconds / 1_000_000));
  return nanoseconds % 1_000_000 === 0 && ms >= -8_640_000_000_000_000n && ms <= 8_640_000_000_000_000n;
}

/** Returns the codes with which this library may reject a form; empty if it accepts the form. */
function refusals(form: Form): Set<number> {
  const found = new Set<number>();
  for (const { form: part, depth } of partsOf(form)) {
    if (hasKey(part, FORBIDDEN_KEYS)) found.add(ErrorCode.FORBIDDEN_KEY);
    if (Array.isArray(part) && part[0] === "time" && !isRepresentable(BigInt(part[1]), part[2])) {
      found.add(ErrorCode.UNREPRESENTABLE_VALUE);
    }
    if (depth > MAX_DEPTH) found.add(ErrorCode.TOO_DEEP);
  }
  return found;
}

const environment = await pythonEnvironment();
if (environment.python === null) describeAbsence("Python's msgpack", environment.reason);
else describeMsgpack(environment.python);

function describeMsgpack(python: string): void {
  let driver: PythonDriver;
  /** Resolves with the value that Python reads, and with its encoding by Python. */
  const unpackInPython = (hex: string): Promise<[Form, string]> => driver.run("unpack", { hex });
  const packInPython = (form: Form, single = false): Promise<string> => driver.run("pack", { form, single });

  describe("values and Python's msgpack", { timeout: PATIENCE_MS * TIMES }, () => {
    beforeAll(async () => {
      driver = await PythonDriver.start(python, "values_driver.py");
    }, PATIENCE_MS);
    afterAll(() => driver?.kill(), PATIENCE_MS);

    test("what this library packs, Python reads as the same, packs to the same bytes, and it comes back", async () => {
      const property = fc.asyncProperty(values, async (value) => {
        const hex = pack(value);
        const [form, again] = await unpackInPython(hex);
        expect(inOrder(form)).toEqual(inOrder(formOf(value)));
        expect(again).toBe(hex);
        expect(read(again)).toEqual(asReceived(formOf(value)));
      });
      await fc.assert(property, { numRuns: 500 * TIMES });
    });

    test("what Python packs, this library reads as the same, or refuses with the code for it", async () => {
      const property = fc.asyncProperty(forms, fc.boolean(), async (form, single) => {
        const sent = single ? asSingle(form) : form;
        const hex = await packInPython(sent, single);
        const expected = refusals(form);
        if (expected.size === 0) expect(read(hex)).toEqual(asReceived(sent));
        else expect([...expected]).toContain(codeOf(() => read(hex)));
      });
      await fc.assert(property, { numRuns: 500 * TIMES });
    });

    test("both read any bytes alike, but for the differences below", async () => {
      const property = fc.asyncProperty(encodedBytes, async (bytes) => {
        const hex = hexOf(bytes);
        const code = codeOf(() => read(hex));
        const theirs = await unpackInPython(hex).catch((error: unknown) => error);
        if (theirs instanceof PythonError) {
          if (code === 0) expect(theirs.message).toBe(NEGATIVE_TYPE);
          return;
        }
        const form = inOrder((theirs as [Form, string])[0]);
        if (code === 0) expect(read(hex)).toEqual(asReceived(form));
        else expect(PYTHON_TAKES).toContain(code);
      });
      await fc.assert(property, { numRuns: 1500 * TIMES });
    });

    test("neither packs strings with lone surrogates", async () => {
      const property = fc.asyncProperty(loneSurrogates, async (text) => {
        expect(codeOf(() => pack([text]))).toBe(ErrorCode.UNSERIALIZABLE);
        await expect(packInPython(["str", text])).rejects.toMatchObject({ type: "UnicodeEncodeError" });
      });
      await fc.assert(property, { numRuns: 50 });
    });

    test("neither packs integers of more than 64 bits", async () => {
      const property = fc.asyncProperty(tooLarge, async (value) => {
        expect(codeOf(() => pack(value))).toBe(ErrorCode.UNSERIALIZABLE);
        await expect(packInPython(["int", String(value)])).rejects.toMatchObject({ type: "OverflowError" });
      });
      await fc.assert(property, { numRuns: 50 });
    });

    test.each<[string, string, Form, keyof typeof ErrorCode]>([
      [
        "a key that isn't text",
        "81c4016101",
        [
          "map",
          [
            ["bin", "61"],
            ["int", "1"],
          ],
        ],
        "FORBIDDEN_KEY",
      ],
      [
        "a key of every object's prototype",
        `81${pack("__proto__")}01`,
        [
          "map",
          [
            ["str", "__proto__"],
            ["int", "1"],
          ],
        ],
        "FORBIDDEN_KEY",
      ],
      ["a timestamp of a nanosecond", "d7ff0000000400000000", ["time", "0", 1], "UNREPRESENTABLE_VALUE"],
      [
        "a time that a Date has no room for",
        "c70cff000000000000ffffffffffff",
        ["time", "281474976710655", 0],
        "UNREPRESENTABLE_VALUE",
      ],
    ])("Python reads %s, and this library refuses it", async (_what, hex, form, code) => {
      expect((await unpackInPython(hex))[0]).toEqual(form);
      expect(codeOf(() => read(hex))).toBe(ErrorCode[code]);
    });

    test("Python reads values that nest deeper than 128, and this library refuses them", async () => {
      const hex = `${"91".repeat(129)}c0`;
      await expect(unpackInPython(hex)).resolves.toBeDefined();
      expect(codeOf(() => read(hex))).toBe(ErrorCode.TOO_DEEP);
    });

    test("this library reads extension types below -1, which are MessagePack's own, and Python refuses them", async () => {
      expect(read("d4fb07")).toEqual(["ext", -5, "07"]);
      await expect(unpackInPython("d4fb07")).rejects.toMatchObject({ message: NEGATIVE_TYPE });
    });

    test("Python tells a whole float from an integer, and this library doesn't", async () => {
      const hex = await packInPython(["float", "4000000000000000"]);
      expect((await unpackInPython(hex))[0]).toEqual(["float", "4000000000000000"]);
      expect(read(hex)).toEqual(["int", "2"]);
    });
  });
}
