import { expect, test } from "vitest";
import { ConduitError, cancelledError, ErrorCode, Operation, RpcError } from "../../errors.ts";
import { transfersWith } from "../../test-support/file-scene.ts";
import { ManualTimers } from "../../testing/manual-timers.ts";
import { untilComplete, withinTime } from "./file-attempts.ts";
import { ProgressReporter } from "./file-progress.ts";

/** Runs attempts that fail with each of the errors in turn and then succeed. */
function attempts(errors: readonly Error[], signal?: AbortSignal) {
  const timers = new ManualTimers();
  const clock = {
    get ms() {
      return timers.nowMs;
    },
  };
  const transfers = transfersWith({}, clock, timers);
  const left = [...errors];
  let made = 0;
  const peer = { hasEnded: () => false, connected: async () => undefined };
  const progress = new ProgressReporter(undefined, () => clock.ms);
  const result = untilComplete({ called: new Operation('upload "a"'), peer, transfers, progress, signal }, async () => {
    made += 1;
    const error = left.shift();
    if (error !== undefined) throw error;
    return "complete";
  });
  return { result, timers, made: () => made };
}

test.each([
  ["CONNECTION_RESET", new ConduitError(ErrorCode.CONNECTION_RESET, "reset")],
  ["a peer's RATE_LIMITED", new RpcError(ErrorCode.RATE_LIMITED, "later")],
])("%s is followed by another attempt, half a second after the last one", async (_, error) => {
  const { result, timers, made } = attempts([error]);
  while (timers.counts.count === 0) await Promise.resolve();
  expect(made()).toBe(1);
  for (const fire of timers.advance(1000)) fire();
  expect(await result).toBe("complete");
  expect(made()).toBe(2);
});

test.each([
  ["FILE_CHANGED", ErrorCode.FILE_CHANGED],
  ["CHECKSUM_MISMATCH", ErrorCode.CHECKSUM_MISMATCH],
  ["PERMISSION_DENIED", ErrorCode.PERMISSION_DENIED],
  ["AUTH_FAILED", ErrorCode.AUTH_FAILED],
])("%s ends a transfer", async (codeName, code) => {
  const { result, made } = attempts([new RpcError(code, "no")]);
  await expect(result).rejects.toMatchObject({ codeName });
  expect(made()).toBe(1);
});

test("a signal ends the wait for the next attempt", async () => {
  const controller = new AbortController();
  const { result, timers, made } = attempts([new ConduitError(ErrorCode.TIMEOUT, "late")], controller.signal);
  while (timers.counts.count === 0) await Promise.resolve();
  controller.abort();
  await expect(result).rejects.toMatchObject({ codeName: "CANCELLED" });
  expect(made()).toBe(1);
});

test("a transfer whose time ends while it waits for the connection says so, not that the wait has ended", async () => {
  const timers = new ManualTimers();
  const clock = {
    get ms() {
      return timers.nowMs;
    },
  };
  const transfers = transfersWith({}, clock, timers);
  let waits = false;
  const peer = {
    hasEnded: () => false,
    connected: (signal: AbortSignal | undefined) => {
      waits = true;
      return new Promise<void>((_resolve, reject) => {
        const end = (): void => reject(cancelledError(new Operation("connected()"), signal?.reason));
        signal?.addEventListener("abort", end, { once: true });
      });
    },
  };
  const called = new Operation('upload "a"');
  const progress = new ProgressReporter(undefined, () => clock.ms);
  const result = withinTime(called, transfers, { timeoutMs: 1000 }, (signal) =>
    untilComplete({ called, peer, transfers, progress, signal }, async () => {
      throw new ConduitError(ErrorCode.CONNECTION_RESET, "reset");
    }),
  );
  while (!waits) await Promise.resolve();
  for (const fire of timers.advance(1016)) fire();
  await expect(result).rejects.toMatchObject({ codeName: "TIMEOUT", message: 'upload "a" timed out' });
});

test("a signal ends a transfer that has a time limit as well", async () => {
  const controller = new AbortController();
  const options = { signal: controller.signal, timeoutMs: 1000 };
  const transfer = withinTime("upload", transfersWith(), options, (signal) => {
    return new Promise<void>((_resolve, reject) => {
      signal?.addEventListener("abort", () => reject(cancelledError("upload", signal.reason)), { once: true });
      controller.abort();
      reject(new Error("The transfer's signal hasn't fired"));
    });
  });
  await expect(transfer).rejects.toMatchObject({ codeName: "CANCELLED" });
});

test("a time that is none is INVALID_CONFIG", async () => {
  const transfer = withinTime("upload", transfersWith(), { timeoutMs: -1 }, async () => "complete");
  await expect(transfer).rejects.toMatchObject({ codeName: "INVALID_CONFIG" });
});
