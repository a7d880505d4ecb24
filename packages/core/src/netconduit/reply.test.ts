import * as v from "valibot";
import { describe, expect, test } from "vitest";
import { ErrorCode, RpcError } from "../errors.ts";
import { error } from "../rpc/error-helpers.ts";
import { response } from "../rpc/response.ts";
import { Validator } from "../rpc/validation.ts";
import { wrapError, wrapResult } from "./reply.ts";

describe("wrapResult", () => {
  test.each([
    ["a number", 5],
    ["null", null],
    ["text", "success"],
    ["a list", [{ success: true }]],
    ["an object", { id: 7 }],
    ["an object whose success is undefined, which isn't sent", { success: undefined }],
    ["an object that inherits success, which isn't sent", Object.create({ success: true })],
    ["a Map without the key success", new Map([["id", 7]])],
    ["binary data", new Uint8Array(3)],
  ])("wraps %s", (_name, result) => {
    expect(wrapResult(result)).toEqual({ success: true, data: result });
  });

  test.each([
    ["response.ok()", response.ok()],
    ["response.ok() with a message", response.ok({ message: "done" })],
    ["a response with metadata", response([1], { took: 3 })],
    ["a page", response.withPagination({ data: [], total: 0 })],
    ["an object with success of its own", { success: "partly" }],
    ["a Map with the key success", new Map([["success", false]])],
  ])("keeps %s as it is", (_name, result) => {
    expect(wrapResult(result)).toBe(result);
  });
});

describe("wrapError", () => {
  test.each([
    [error("Something went wrong"), { error: "Something went wrong" }],
    [error("Over the limit", { code: 402, details: { limit: 7 } }), { code: 402, details: { limit: 7 } }],
    [error.notFound("User", { identifier: 7 }), { error: "User not found: 7", code: 4000 }],
    [error.permissionDenied("delete"), { error: "Permission denied: delete", code: 3003 }],
    [error.timeout(), { error: "Operation timed out", code: 1002 }],
    [error.internal(), { error: "Internal server error", code: 1001 }],
    [error.rateLimited({ retryAfterSeconds: 3 }), { code: 6000, details: { retry_after: 3 } }],
    [error.validation("Bad", { field: "a" }), { error: "Bad", code: 2000, details: { field: "a" } }],
  ])("says %s as netconduit's own helper does", (given, expected) => {
    expect(wrapError(given, "m")).toEqual({ success: false, error: given.message, ...expected });
  });

  test("leaves out empty details", () => {
    expect(wrapError(new RpcError(7, "x", { details: {} }), "m")).toEqual({ success: false, error: "x", code: 7 });
  });

  function failure(schema: v.GenericSchema, value: unknown): RpcError {
    try {
      void new Validator(schema, "params").run(value, "add");
    } catch (thrown) {
      return thrown as RpcError;
    }
    throw new Error("nothing was thrown");
  }

  test("lists invalid parameters as netconduit lists those of a Pydantic model", () => {
    const schema = v.object({
      a: v.number(),
      user: v.object({ age: v.pipe(v.number(), v.minValue(0)) }),
      b: v.number(),
    });
    expect(wrapError(failure(schema, { a: "two", user: { age: -1 } }), "add")).toEqual({
      success: false,
      error: "Validation error in add",
      code: 2000,
      details: {
        errors: [
          { field: "a", message: 'Invalid type: Expected number but received "two"', type: "type_error" },
          { field: "user.age", message: "Invalid value: Expected >=0 but received -1", type: "value_error" },
          { field: "b", message: "Field required", type: "missing" },
        ],
      },
    });
  });

  test("has the code 2000 where only fields are missing, too", () => {
    const missing = failure(v.object({ a: v.number() }), {});
    expect([missing.code, wrapError(missing, "add").code]).toEqual([ErrorCode.MISSING_FIELD, 2000]);
  });

  test("keeps the text of a validation error that another method made", () => {
    const nested = failure(v.object({ a: v.number() }), {});
    expect(wrapError(nested, "outer").error).toBe(nested.message);
  });

  test("keeps an application's own list of errors", () => {
    const own = error("Bad", { code: 7, details: { errors: ["a", "b"] } });
    expect(wrapError(own, "m")).toEqual({ success: false, error: "Bad", code: 7, details: { errors: ["a", "b"] } });
  });
});
