import { once } from "node:events";
import { describe, expect, test } from "vitest";
import { describeRuntime } from "../../../conformance/adapter/runtime.suite.ts";
import { nodeRuntime } from "./runtime.ts";

describeRuntime(nodeRuntime);

describe("nodeRuntime", () => {
  test("a deferred task that throws does not take the next one with it", async () => {
    const listeners = process.listeners("uncaughtException");
    process.removeAllListeners("uncaughtException");
    const thrown = once(process, "uncaughtException");
    const second = new Promise<void>((resolve) => {
      nodeRuntime.defer(() => {
        throw new Error("thrown by a deferred task");
      });
      nodeRuntime.defer(resolve);
    });
    await second;
    expect((await thrown)[0]).toMatchObject({ message: "thrown by a deferred task" });
    for (const listener of listeners) process.on("uncaughtException", listener);
  });

  test("only a timer with keepAlive keeps the process running", () => {
    const timers = [true, false].map((keepAlive) => nodeRuntime.setTimer(() => {}, 1000, keepAlive) as NodeJS.Timeout);
    expect(timers.map((timer) => timer.hasRef())).toEqual([true, false]);
    for (const timer of timers) nodeRuntime.clearTimer(timer);
  });

  test("onTerminate passes the signal's name on until it is removed", () => {
    const signals: string[] = [];
    const before = process.listenerCount("SIGTERM");
    const remove = nodeRuntime.onTerminate((signal) => signals.push(signal));
    process.emit("SIGTERM", "SIGTERM");
    process.emit("SIGINT", "SIGINT");
    remove();
    expect(signals).toEqual(["SIGTERM", "SIGINT"]);
    expect(process.listenerCount("SIGTERM")).toBe(before);
  });
});
