import { describe, expect, test } from "vitest";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { gate } from "../test-support/gate.ts";
import { outcome } from "../test-support/peers.ts";
import { withDeadline } from "./time.ts";

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
