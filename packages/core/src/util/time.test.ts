import { describe, expect, test } from "vitest";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { outcome } from "../test-support/peers.ts";
import { RunningTimer, withDeadline } from "./time.ts";
import { TimerWheel } from "./timer-wheel.ts";

describe("a timer that counts the time in which its process runs", () => {
  test.each([0, 500, 5000, 120_000])("fires once after %i ms of a process that isn't stopped", async (delayMs) => {
    const runtime = fakeRuntime();
    const firedAt: number[] = [];
    const timer = new RunningTimer(new TimerWheel(runtime), runtime, () => firedAt.push(runtime.now()));
    timer.start(delayMs);
    await runtime.advance(delayMs - 1);
    expect(firedAt).toEqual([]);
    await runtime.advance(40);
    expect(firedAt).toHaveLength(1);
    await runtime.advance(200_000);
    expect(firedAt).toHaveLength(1);
  });

  test("fires later by as long as it was stopped, and leaves at least a second after that", async () => {
    const runtime = fakeRuntime();
    let fired = 0;
    const timer = new RunningTimer(new TimerWheel(runtime), runtime, () => {
      fired += 1;
    });
    timer.start(5000);
    await runtime.advance(1500);
    runtime.standStill(60_000);
    await runtime.advance(2500);
    expect(fired).toBe(0);
    await runtime.advance(300);
    runtime.standStill(60_000);
    await runtime.advance(900);
    expect(fired).toBe(0);
    await runtime.advance(200);
    expect(fired).toBe(1);
  });

  test("doesn't fire when it was ended", async () => {
    const runtime = fakeRuntime();
    const timer = new RunningTimer(new TimerWheel(runtime), runtime, () => expect.unreachable());
    timer.start(5000);
    await runtime.advance(2500);
    timer.stop();
    await runtime.advance(10_000);
    expect(timer.isScheduled).toBe(false);
  });
});

describe("a deadline", () => {
  test("ends a wait when the work is done, whether it resolves or rejects", async () => {
    const runtime = fakeRuntime();
    const deadline = withDeadline(runtime, 100);
    await deadline.race(Promise.resolve(1));
    await deadline.race(Promise.reject(new Error("no")));
    expect(runtime.now()).toBe(0);
    deadline.cancel();
    expect(runtime.timers.count).toBe(0);
  });

  test("ends a wait when it passes, and every wait after that at once", async () => {
    const runtime = fakeRuntime();
    const deadline = withDeadline(runtime, 100);
    const waits = [outcome(deadline.race(gate().promise))];
    await runtime.advance(100);
    waits.push(outcome(deadline.race(gate().promise)));
    await runtime.settle();
    expect(waits.map((wait) => wait.state)).toEqual(["resolved", "resolved"]);
  });

  test("spans several waits", async () => {
    const runtime = fakeRuntime();
    const deadline = withDeadline(runtime, 100);
    await runtime.advance(60);
    await deadline.race(Promise.resolve());
    const wait = outcome(deadline.race(gate().promise));
    await runtime.advance(40);
    expect(wait.state).toBe("resolved");
  });

  test("can be made shorter, not longer", async () => {
    const runtime = fakeRuntime();
    const deadline = withDeadline(runtime, 100);
    const wait = outcome(deadline.race(gate().promise));
    deadline.shorten(500);
    deadline.shorten(50);
    await runtime.advance(50);
    expect(wait.state).toBe("resolved");
    deadline.shorten(1);
    expect(runtime.timers.count).toBe(0);
  });

  test("keeps the process running until it is cancelled", () => {
    const runtime = fakeRuntime();
    const deadline = withDeadline(runtime, 100);
    expect(runtime.timers.keepingAlive).toBe(1);
    deadline.cancel();
    expect(runtime.timers.keepingAlive).toBe(0);
  });
});
