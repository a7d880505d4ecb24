import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { response } from "./response.ts";

describe("response", () => {
  test("sends data as it is", () => {
    const user = { id: 1 };
    expect(response(user)).toBe(user);
  });

  test("sends data with metadata in netconduit's shape", () => {
    expect(response([1], { took: 3 })).toEqual({ success: true, data: [1], metadata: { took: 3 } });
  });
});

describe("response.ok", () => {
  test("says success and nothing more without arguments", () => {
    expect(response.ok()).toEqual({ success: true });
  });

  test("carries a message", () => {
    expect(response.ok({ message: "User deleted successfully" })).toEqual({
      success: true,
      message: "User deleted successfully",
    });
  });

  test("carries data and a message", () => {
    expect(response.ok({ data: 0, message: "done" })).toEqual({ success: true, data: 0, message: "done" });
  });

  test("leaves out what is undefined or empty, as netconduit does", () => {
    expect(Object.keys(response.ok({ data: undefined, message: "" }))).toEqual(["success"]);
  });
});

describe("response.withPagination", () => {
  test("describes a page in the middle with the names netconduit's clients read", () => {
    expect(response.withPagination({ data: ["c", "d"], total: 5, page: 2, pageSize: 2 })).toEqual({
      success: true,
      data: ["c", "d"],
      pagination: { total: 5, page: 2, page_size: 2, total_pages: 3, has_next: true, has_prev: true },
    });
  });

  test("starts at page 1 with 10 items a page", () => {
    expect(response.withPagination({ data: [], total: 0 }).pagination).toEqual({
      total: 0,
      page: 1,
      page_size: 10,
      total_pages: 0,
      has_next: false,
      has_prev: false,
    });
  });

  test("has no next page when the last one is exactly full", () => {
    expect(response.withPagination({ data: [1, 2], total: 4, page: 2, pageSize: 2 }).pagination).toMatchObject({
      total_pages: 2,
      has_next: false,
    });
  });

  test.each([
    ["total", { total: -1 }],
    ["total", { total: Number.NaN }],
    ["page", { total: 1, page: 0 }],
    ["page", { total: 1, page: Number.POSITIVE_INFINITY }],
    ["pageSize", { total: 1, pageSize: 0 }],
    ["pageSize", { total: 1, pageSize: 2.5 }],
  ])("refuses a %s that makes no page (%j)", (field, options) => {
    expect(() => response.withPagination({ data: [], ...options })).toThrow(
      expect.objectContaining({ code: ErrorCode.VALIDATION, details: expect.objectContaining({ field }) }),
    );
  });
});

test.each([
  [
    "ok",
    () => response.ok({ mesage: "x" } as never),
    /Unknown option mesage of response\.ok\(\); did you mean message\?/,
  ],
  [
    "withPagination",
    () => response.withPagination({ data: [], total: 0, page_size: 5 } as never),
    /Unknown option page_size of response\.withPagination\(\); did you mean pageSize\?/,
  ],
])("an unknown option is refused: %s", (_helper, make, message) => {
  expect(make).toThrow(message);
});
