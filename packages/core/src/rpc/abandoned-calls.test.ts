import { expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { MAX_ABANDONED_ONCE, MAX_ABANDONED_ONCE_BYTES } from "../limits.ts";
import { AbandonedCalls } from "./abandoned-calls.ts";

const refused = expect.objectContaining({
  code: ErrorCode.RATE_LIMITED,
  details: { retry_after: 1, started: false },
});

test.each([
  ["calls", MAX_ABANDONED_ONCE / 2, 1],
  ["bytes", 4, MAX_ABANDONED_ONCE_BYTES / 8],
])("one identity gets half of the %s, and all together get all", (_what, half, bytes) => {
  const all = new AbandonedCalls();
  for (let i = 0; i < half; i += 1) {
    all.mustHaveRoom("ada");
    all.add("ada", bytes);
  }
  expect(() => all.mustHaveRoom("ada")).toThrow(refused);
  for (let i = 0; i < half; i += 1) {
    const owner = `user ${i % 2}`;
    all.mustHaveRoom(owner);
    all.add(owner, bytes);
  }
  expect(() => all.mustHaveRoom("bob")).toThrow(refused);
  all.delete("ada", bytes);
  all.mustHaveRoom("bob");
  all.mustHaveRoom("ada");
});
