import { expect, test } from "vitest";
import { MAX_RETRY_AFTER_MS } from "../limits.ts";
import { retryAfterIn } from "./retry-after.ts";

test.each([
  [{ retry_after: 1.5 }, 1500],
  [{ retry_after: 0 }, 0],
  [{ retry_after: 1e9 }, MAX_RETRY_AFTER_MS],
  [{ retry_after: Number.POSITIVE_INFINITY }, MAX_RETRY_AFTER_MS],
  [{ retry_after: -1 }, null],
  [{ retry_after: Number.NaN }, null],
  [{ retry_after: "1" }, null],
  [{}, null],
  [undefined, null],
])("details %j mean %j ms", (details, expected) => {
  expect(retryAfterIn(details)).toBe(expected);
});
