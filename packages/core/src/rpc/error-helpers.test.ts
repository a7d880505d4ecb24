import { describe, expect, test } from "vitest";
import { ConduitError, ErrorCode, RpcError } from "../errors.ts";
import { error } from "./error-helpers.ts";

describe("error", () => {
  test("makes an RpcError with the code UNKNOWN and no details by default", () => {
    const made = error("Something went wrong");
    expect(made).toBeInstanceOf(RpcError);
    expect([made.code, made.message, made.details]).toEqual([ErrorCode.UNKNOWN, "Something went wrong", undefined]);
  });

  test("takes any code, details, and a cause that stays local", () => {
    const cause = new Error("local");
    const made = error("Division by zero", { code: 400, details: { b: 0 }, cause });
    expect([made.code, made.details, made.cause]).toEqual([400, { b: 0 }, cause]);
  });

  test("makes errors with a stack that starts at the handler's side", () => {
    expect(error("x").stack).toContain("error-helpers.test");
  });
});

describe("error.validation", () => {
  test("carries field, expected and received as text", () => {
    const made = error.validation("Amount must be positive", {
      field: "amount",
      expected: "positive number",
      received: -5,
    });
    expect([made.code, made.message, made.details]).toEqual([
      ErrorCode.VALIDATION,
      "Amount must be positive",
      { field: "amount", expected: "positive number", received: "-5" },
    ]);
  });

  test("has no details when it was given none", () => {
    expect(error.validation("Bad input").details).toBeUndefined();
  });

  test("gives received text as it is, clipped", () => {
    expect(error.validation("Bad", { received: "abc" }).details).toEqual({ received: "abc" });
    expect(String(error.validation("Bad", { received: "x".repeat(1e6) }).details?.["received"]).length).toBeLessThan(
      60,
    );
  });

  test("leaves out a received null, as netconduit does", () => {
    expect(error.validation("Bad", { received: null }).details).toBeUndefined();
  });
});

describe("error.forward", () => {
  test("passes on an RpcError's code, message and details, and keeps it as the cause", () => {
    const failure = new RpcError(402, "Pay first", { details: { price: 7 }, method: "buy" });
    const made = error.forward(failure);
    expect(made).toBeInstanceOf(RpcError);
    expect(made).toMatchObject({ code: 402, message: "Pay first", details: { price: 7 }, cause: failure });
    expect((made as RpcError).method).toBeUndefined();
  });

  test("passes on the code of an error raised on this side, and not its message", () => {
    const failure = new ConduitError(ErrorCode.TIMEOUT, "the server 10.0.0.7:8080 has not replied");
    const made = error.forward(failure);
    expect(made).toBeInstanceOf(RpcError);
    expect(made).toMatchObject({ code: ErrorCode.TIMEOUT, message: "A call to another peer failed: TIMEOUT" });
  });

  test("returns any other error as it is, which is INTERNAL to the caller", () => {
    const failure = new TypeError("x is not a function");
    expect(error.forward(failure)).toBe(failure);
    expect(error.forward("text")).toMatchObject({ message: "text" });
  });
});

describe("the other helpers use netconduit's messages", () => {
  test.each([
    [error.notFound("User"), ErrorCode.NOT_FOUND, "User not found", undefined],
    [error.notFound("User", { identifier: 7 }), ErrorCode.NOT_FOUND, "User not found: 7", undefined],
    [error.notFound("User", { identifier: 0 }), ErrorCode.NOT_FOUND, "User not found: 0", undefined],
    [error.notFound("User", { identifier: "" }), ErrorCode.NOT_FOUND, "User not found", undefined],
    [error.permissionDenied(), ErrorCode.PERMISSION_DENIED, "Permission denied", undefined],
    [error.permissionDenied("delete_user"), ErrorCode.PERMISSION_DENIED, "Permission denied: delete_user", undefined],
    [error.internal(), ErrorCode.INTERNAL, "Internal server error", undefined],
    [error.internal("Database is down"), ErrorCode.INTERNAL, "Database is down", undefined],
    [error.internal({ details: { error: "x" } }), ErrorCode.INTERNAL, "Internal server error", { error: "x" }],
    [error.internal({ message: "Down", details: { a: 1 } }), ErrorCode.INTERNAL, "Down", { a: 1 }],
    [error.internal("Down", { details: { a: 1 } }), ErrorCode.INTERNAL, "Down", { a: 1 }],
    [error.timeout(), ErrorCode.TIMEOUT, "Operation timed out", undefined],
    [error.timeout("payment_gateway"), ErrorCode.TIMEOUT, "Operation timed out: payment_gateway", undefined],
    [error.rateLimited(), ErrorCode.RATE_LIMITED, "Rate limit exceeded", undefined],
    [error.rateLimited({ retryAfterSeconds: 2 }), ErrorCode.RATE_LIMITED, "Rate limit exceeded", { retry_after: 2 }],
  ])("%s has its code, message and details", (made, code, message, details) => {
    expect([made.code, made.message, made.details]).toEqual([code, message, details]);
  });

  test("an internal error keeps its cause local", () => {
    const cause = new Error("disk");
    const made = error.internal({ cause });
    expect([made.cause, made.details]).toEqual([cause, undefined]);
  });
});

describe("an unknown option of a helper", () => {
  const misspelt = (options: object): never => options as never;

  test.each([
    ["error", () => error("Failed", misspelt({ detail: {} })), /Unknown option detail of error\("Failed"\); .*details/],
    ["validation", () => error.validation("Bad", misspelt({ feild: "a" })), /of error\.validation\("Bad"\); .*field/],
    ["notFound", () => error.notFound("User", misspelt({ id: 7 })), /Unknown option id of error\.notFound\("User"\)/],
    ["internal", () => error.internal(misspelt({ mesage: "x" })), /of error\.internal\(\); .*message/],
    [
      "internal with text",
      () => error.internal("x", misspelt({ detials: {} })),
      /of error\.internal\("x"\); .*details/,
    ],
    [
      "rateLimited",
      () => error.rateLimited(misspelt({ retryAfter: 1 })),
      /of error\.rateLimited\(\); .*retryAfterSeconds/,
    ],
  ])("is refused: %s", (_helper, make, message) => {
    expect(make).toThrow(message);
    expect(make).toThrow(expect.objectContaining({ code: ErrorCode.INVALID_CONFIG }));
  });
});
