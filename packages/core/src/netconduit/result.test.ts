import { describe, expect, test } from "vitest";
import { ErrorCode, RpcError } from "../errors.ts";
import { unwrapNetconduitResult } from "./result.ts";

describe("unwrapNetconduitResult", () => {
  test("takes data out of netconduit's wrapper", () => {
    expect(unwrapNetconduitResult({ success: true, data: [1] })).toEqual([1]);
  });

  test("takes null out of netconduit's wrapper", () => {
    expect(unwrapNetconduitResult({ success: true, data: null })).toBeNull();
  });

  test.each([
    ["a message", { success: true, message: "done" }],
    ["a message with data", { success: true, data: 1, message: "done" }],
    ["pagination", { success: true, data: [], pagination: { total: 0 } }],
    ["nothing but success", { success: true }],
    ["a failure without an error text", { success: false, reason: "full" }],
    ["a success that is no boolean", { success: 1, data: 1 }],
    ["an object of another shape", { data: 1 }],
    ["a list", [true]],
    ["null", null],
    ["text", "data"],
  ])("keeps %s as it is", (_name, result) => {
    expect(unwrapNetconduitResult(result)).toBe(result);
  });

  function failure(result: unknown): RpcError {
    try {
      unwrapNetconduitResult(result);
    } catch (error) {
      return error as RpcError;
    }
    throw new Error("nothing was thrown");
  }

  test("throws what netconduit wraps as an error, with code and details", () => {
    const error = failure({ success: false, error: "User not found", code: 4000, details: { id: 7 } });
    expect(error).toBeInstanceOf(RpcError);
    expect([error.code, error.message, error.details]).toEqual([4000, "User not found", { id: 7 }]);
  });

  test("throws with our code for netconduit's", () => {
    expect(failure({ success: false, error: "Permission denied", code: 3003 }).code).toBe(ErrorCode.PERMISSION_DENIED);
  });

  test("throws with UNKNOWN and without details when netconduit gave neither", () => {
    const error = failure({ success: false, error: "Division by zero" });
    expect([error.code, error.details]).toEqual([ErrorCode.UNKNOWN, undefined]);
  });

  test("keeps further keys of an error as details", () => {
    expect(failure({ success: false, error: "busy", queue: 3, details: "none" }).details).toEqual({ queue: 3 });
  });

  test("does not take a code that is no whole number", () => {
    expect(failure({ success: false, error: "x", code: "E42" }).code).toBe(ErrorCode.UNKNOWN);
  });
});
