import { describe, expect, test } from "vitest";
import { ConduitError, ErrorCode } from "../errors.ts";
import { KnownOptions } from "./known-options.ts";

const OPTIONS = new KnownOptions<{ timeoutMs: number; signal: AbortSignal }>("wait", { timeoutMs: true, signal: true });

function failure(options: unknown, subject?: unknown): ConduitError {
  try {
    OPTIONS.check(options, subject);
  } catch (error) {
    if (error instanceof ConduitError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("KnownOptions", () => {
  test.each([
    ["undefined", undefined],
    ["no options", {}],
    ["all of them", { timeoutMs: 1, signal: new AbortController().signal }],
    ["one that is undefined", { timeoutMs: undefined }],
    ["inherited keys beside them", Object.create({ other: 1 }, { timeoutMs: { value: 1, enumerable: true } })],
    ["keys that aren't enumerable", Object.defineProperty({}, "other", { value: 1, enumerable: false })],
  ])("accepts %s", (_what, options) => {
    expect(() => OPTIONS.check(options, "x")).not.toThrow();
  });

  test("refuses an unknown option with the function, what it was called for, and the nearest name", () => {
    const error = failure({ tiemoutMs: 1 }, "room");
    expect(error.code).toBe(ErrorCode.INVALID_CONFIG);
    expect(error.message).toBe('Unknown option tiemoutMs of wait("room"); did you mean timeoutMs?');
  });

  test("lists the options if no name is near", () => {
    expect(failure({ zebra: 1 }).message).toBe("Unknown option zebra of wait(); it takes timeoutMs, signal");
  });

  test("names each unknown option, for programs in details.problems, and shows no value", () => {
    const error = failure({ timeout: "secret", zebra: 1, signal: undefined }, 7);
    expect(error.message).toBe(
      [
        "Unknown option timeout of wait(7); did you mean timeoutMs?",
        "Unknown option zebra of wait(7); it takes timeoutMs, signal",
      ].join("\n"),
    );
    expect(error.details).toEqual({
      problems: [
        { option: "timeout", rule: "is unknown; did you mean timeoutMs?", received: "a string" },
        { option: "zebra", rule: "is unknown; it takes timeoutMs, signal", received: "a number" },
      ],
    });
  });

  test.each([
    [null, "null"],
    [5, "5"],
    ["fast", '"fast"'],
  ])("refuses %o in place of an object, with the hint", (options, received) => {
    const hinted = new KnownOptions<{ a: 1 }>("wait", { a: true }, "; see the guide");
    const message = `The options of wait() must be an object ({ a }), got ${received}; see the guide`;
    expect(() => hinted.check(options)).toThrow(message);
  });

  test("shortens long names", () => {
    expect(failure({ ["x".repeat(10_000)]: 1 }).message.length).toBeLessThan(200);
  });
});
