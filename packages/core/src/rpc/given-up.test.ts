import { describe, expect, test } from "vitest";
import { ConduitError, ErrorCode, RpcError } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { TimerWheel } from "../util/timer-wheel.ts";
import { CallContext } from "./call-context.ts";

const reason = new ConduitError(ErrorCode.CANCELLED, "The caller cancelled 'm'");

function aborted(): CallContext<string> {
  const runtime = fakeRuntime();
  const clock = { wheel: new TimerWheel(runtime), wallClock: () => runtime.wallClock() };
  const context = new CallContext("caller", "m", 1, 2, 0, clock);
  context.abort(reason);
  return context;
}

describe("a handler whose signal fired", () => {
  test("and that threw the signal's reason failed with that reason", () => {
    expect(aborted().outcome(reason)).toEqual(new RpcError(ErrorCode.CANCELLED, reason.message));
  });

  test("and that threw an AbortError failed with the signal's reason", () => {
    const error = Object.assign(new Error("aborted"), { name: "AbortError" });
    expect(aborted().outcome(error)).toMatchObject({ code: ErrorCode.CANCELLED });
  });

  test("and that threw an error caused by the reason failed with the signal's reason", () => {
    expect(aborted().outcome(new Error("timer stopped", { cause: reason }))).toMatchObject({
      code: ErrorCode.CANCELLED,
    });
  });

  test("and that threw something else failed with that", () => {
    const error = new Error("disk full");
    expect(aborted().outcome(error)).toBe(error);
  });
});

test("a handler whose signal did not fire fails with what it threw, an AbortError included", () => {
  const runtime = fakeRuntime();
  const clock = { wheel: new TimerWheel(runtime), wallClock: () => runtime.wallClock() };
  const error = Object.assign(new Error("aborted"), { name: "AbortError" });
  expect(new CallContext("caller", "m", 1, 2, 0, clock).outcome(error)).toBe(error);
});
