import { describe, expect, test } from "vitest";
import { ConduitError, ErrorCode, RpcError } from "../errors.ts";
import { EPOCH_MS, fakeRuntime } from "../test-support/fake-runtime.ts";
import { incomingRequest, RecordingSource } from "../test-support/recording-source.ts";

function bench(timeoutMs = 0) {
  const runtime = fakeRuntime();
  const source = new RecordingSource(runtime);
  let clockReads = 0;
  source.context.turnMs = () => {
    clockReads += 1;
    return runtime.now();
  };
  const context = incomingRequest(source, { idHi: 1, idLo: 2, timeoutMs });
  return { runtime, context, clockReads: () => clockReads };
}

describe("IncomingRequest", () => {
  test("tells caller, method and correlation id", () => {
    expect(bench().context).toMatchObject({ client: "the peer", method: "m", idHi: 1, idLo: 2 });
  });

  test("without a deadline reads no clock and sets no timer", () => {
    const { context, runtime, clockReads } = bench();
    expect([context.deadline, context.signal.aborted]).toEqual([null, false]);
    expect([clockReads(), runtime.timers.count]).toEqual([0, 0]);
  });

  test("sets the deadline's timer when the signal is asked for, and not before", () => {
    const { context, runtime } = bench(100);
    expect([context.deadline, runtime.timers.count]).toEqual([EPOCH_MS + 100, 0]);
    expect([context.signal.aborted, runtime.timers.count]).toEqual([false, 1]);
  });

  test("fires the signal with TIMEOUT when the deadline passes", async () => {
    const { context, runtime } = bench(100);
    const { signal } = context;
    await runtime.advance(90);
    expect(signal.aborted).toBe(false);
    await runtime.advance(30);
    expect(signal.reason).toMatchObject({ code: ErrorCode.TIMEOUT, message: "The deadline of 'm' passed" });
  });

  test("counts the deadline from the start of the call, not from the first look at the signal", async () => {
    const { context, runtime } = bench(100);
    await runtime.advance(90);
    const { signal } = context;
    await runtime.advance(30);
    expect(signal.aborted).toBe(true);
  });

  test("doesn't count the time by which the system's clock is set", async () => {
    const { context, runtime } = bench(100);
    const wallClock = runtime.wallClock.bind(runtime);
    runtime.wallClock = () => wallClock() + 3_600_000;
    const { signal } = context;
    await runtime.advance(90);
    expect([context.isExpired, context.remainingMs, signal.aborted]).toEqual([false, 10, false]);
    expect(context.deadline).toBe(runtime.wallClock() + 10);
    runtime.wallClock = () => wallClock() - 3_600_000;
    await runtime.advance(30);
    expect([context.isExpired, signal.aborted]).toEqual([true, true]);
  });

  test("a signal first looked at after the deadline fires with the next tick", async () => {
    const { context, runtime } = bench(100);
    await runtime.advance(500);
    const { signal } = context;
    await runtime.advance(30);
    expect(signal.reason).toMatchObject({ code: ErrorCode.TIMEOUT });
  });

  test("hands out one and the same signal", () => {
    const { context } = bench();
    expect(context.signal).toBe(context.signal);
  });

  test("an abort before the signal is asked for shows in it at once", () => {
    const { context, runtime } = bench(100);
    const reason = new ConduitError(ErrorCode.CANCELLED, "no");
    context.abort(reason);
    expect([context.signal.aborted, context.signal.reason, runtime.timers.count]).toEqual([true, reason, 0]);
  });

  test("keeps the first reason", () => {
    const { context } = bench();
    const { signal } = context;
    const first = new ConduitError(ErrorCode.CANCELLED, "first");
    context.abort(first);
    context.abort(new ConduitError(ErrorCode.TIMEOUT, "second"));
    expect(signal.reason).toBe(first);
  });

  test("an abort, or the handler's end, takes the deadline's timer back", async () => {
    for (const end of ["abort", "finish"] as const) {
      const { context, runtime } = bench(100);
      const { signal } = context;
      const reason = new ConduitError(ErrorCode.CANCELLED, "no");
      if (end === "abort") context.abort(reason);
      else context.finish();
      expect(context.isScheduled).toBe(false);
      await runtime.advance(500);
      expect(signal.reason).toBe(end === "abort" ? reason : undefined);
    }
  });

  test("the end of a handler that never asked for the signal is nothing to take back", () => {
    const { context } = bench(100);
    context.finish();
    expect(context.isScheduled).toBe(false);
  });
});

const reason = new ConduitError(ErrorCode.CANCELLED, "The caller cancelled 'm'");

function aborted() {
  const { context } = bench();
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
  const error = Object.assign(new Error("aborted"), { name: "AbortError" });
  expect(bench().context.outcome(error)).toBe(error);
});
