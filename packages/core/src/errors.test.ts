import { describe, expect, test } from "vitest";
import { ConduitError, ErrorCode, RpcError } from "./errors.ts";

describe.each([
  ["ConduitError", ConduitError],
  ["RpcError", RpcError],
] as const)("%s", (className, errorClass) => {
  test("has its class and the name of its code as its name, and in the first line of its stack", () => {
    const error = new errorClass(ErrorCode.TIMEOUT, "too late");
    expect(error.name).toBe(`${className} [TIMEOUT]`);
    expect(String(error)).toBe(`${className} [TIMEOUT]: too late`);
    expect(error.stack?.split("\n")[0]).toBe(`${className} [TIMEOUT]: too late`);
    expect(error.codeName).toBe("TIMEOUT");
  });

  test("has the number in its name where the code is none of the library's", () => {
    expect(new errorClass(402, "pay first").name).toBe(`${className} [402]`);
  });

  test("has no properties of its own that it was not given, so that none is printed as undefined", () => {
    expect(Object.keys(new errorClass(1000, "bare")).sort()).toEqual(["code", "name"]);
    const { details, cause } = new errorClass(1000, "bare");
    expect([details, cause]).toEqual([undefined, undefined]);
    const full = new errorClass(1000, "full", { details: { a: 1 }, cause: "why" });
    expect(Object.keys(full).sort()).toEqual(["code", "details", "name"]);
    expect([full.details, full.cause]).toEqual([{ a: 1 }, "why"]);
  });

  test("refuses a misspelled option with the nearest name, and shows no value", () => {
    const misspelled = { detials: { card: "secret" } } as object;
    expect(() => new errorClass(402, "pay first", misspelled)).toThrow(
      expect.objectContaining({
        code: ErrorCode.INVALID_CONFIG,
        message: `Unknown option detials of new ${className}(402, "pay first"); did you mean details?`,
        details: {
          problems: [{ option: "detials", rule: "is unknown; did you mean details?", received: "an object" }],
        },
      }),
    );
    const several = { zebra: 1, casue: 2 } as object;
    expect(() => new errorClass(402, "pay first", several)).toThrow(
      `Unknown option zebra of new ${className}(402, "pay first"); it takes details, method, cause\n` +
        `Unknown option casue of new ${className}(402, "pay first"); did you mean cause?`,
    );
  });

  test.each([null, 5, "details"])("refuses %o in place of its options", (options) => {
    expect(() => new errorClass(402, "pay first", options as never)).toThrow(
      `The options of new ${className}(402, "pay first") must be an object ({ details, cause }), got ${JSON.stringify(options)}`,
    );
  });

  test("takes options that inherit others", () => {
    const options = Object.create({ detials: {} }, { details: { value: { a: 1 }, enumerable: true } }) as object;
    expect(new errorClass(402, "pay first", options).details).toEqual({ a: 1 });
  });

  test("equals another that says the same, and no other", () => {
    expect(new errorClass(1000, "one")).toEqual(new errorClass(1000, "one"));
    expect(new errorClass(1000, "one")).not.toEqual(new errorClass(1001, "one"));
    expect(new errorClass(1000, "one")).toMatchObject({ code: 1000, message: "one", details: undefined });
  });

  test("can be cloned, which leaves an Error with its message", () => {
    const clone = structuredClone(new errorClass(1000, "one", { details: { a: 1 } }));
    expect(clone).toBeInstanceOf(Error);
    expect(clone.message).toBe("one");
  });
});

test("an RpcError knows the method that it answers, or has none", () => {
  expect(new RpcError(1000, "one", { method: "add" }).method).toBe("add");
  expect(new RpcError(1000, "one").method).toBeUndefined();
});

test("an RpcError has the id of the other side's failure, or none", () => {
  const failed = new RpcError(ErrorCode.INTERNAL, "Internal server error", { details: { failure_id: "3f" } });
  expect(failed.failureId).toBe("3f");
  expect(new RpcError(1000, "one", { details: { failure_id: 7 } }).failureId).toBeUndefined();
  expect(new RpcError(1000, "one").failureId).toBeUndefined();
});

test("a class of an application's that has a name of its own keeps it", () => {
  class Own extends RpcError {
    override readonly name: string = "Own";
  }
  expect([new Own(1000, "mine").name, new Own(1000, "mine").codeName]).toEqual(["Own", "UNKNOWN"]);
});

test("temporary are lost connections, timeouts and limits of the moment, and no codes that the library doesn't define", () => {
  const temporary = Object.entries(ErrorCode).filter(([, code]) => new RpcError(code, "no").isTemporary);
  expect(temporary.map(([name]) => name).sort()).toEqual([
    "ADDRESS_IN_USE",
    "AUTH_TIMEOUT",
    "BUFFER_LIMIT",
    "CHECKSUM_MISMATCH",
    "CONNECTION_CLOSED",
    "CONNECTION_ERROR",
    "CONNECTION_REFUSED",
    "CONNECTION_RESET",
    "CONNECT_TIMEOUT",
    "FILE_CHANGED",
    "FRAME_TIMEOUT",
    "HEARTBEAT_TIMEOUT",
    "HOST_UNREACHABLE",
    "NOT_DELIVERED",
    "RATE_LIMITED",
    "RECONNECT_FAILED",
    "SEND_QUEUE_FULL",
    "SERVER_FULL",
    "SERVER_STOPPING",
    "SESSION_EXPIRED",
    "SLOW_CONSUMER",
    "TIMEOUT",
    "TOO_MANY_STREAMS",
  ]);
  expect(new ConduitError(402, "pay first").isTemporary).toBe(false);
});
