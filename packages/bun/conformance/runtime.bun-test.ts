import { describe, expect, test } from "vitest";
import { describeRuntime } from "../../../conformance/adapter/runtime.suite.ts";
import { bunRuntime } from "../src/runtime.ts";

describeRuntime(bunRuntime);

describe("bunRuntime", () => {
  test("a deferred task that throws does not take the next one with it", () => {
    // In a separate process, because `bun test` takes every uncaught error for a failure.
    const script = `
      import { bunRuntime } from ${JSON.stringify(import.meta.resolve("../src/runtime.ts"))};
      process.on("uncaughtException", (error) => console.log(error.message));
      bunRuntime.defer(() => { throw new Error("thrown by a deferred task"); });
      bunRuntime.defer(() => console.log("the next one ran"));`;
    const tsconfig = Bun.fileURLToPath(new URL("./tsconfig.json", import.meta.url));
    const { stdout } = Bun.spawnSync([process.execPath, "--tsconfig-override", tsconfig, "-e", script]);
    expect(stdout.toString().split("\n").sort()).toEqual(["", "the next one ran", "thrown by a deferred task"]);
  });

  test("only a timer with keepAlive keeps the process running", () => {
    const timers = [true, false].map(
      (keepAlive) => bunRuntime.setTimer(() => undefined, 1000, keepAlive) as NodeJS.Timeout,
    );
    expect(timers.map((timer) => timer.hasRef())).toEqual([true, false]);
    for (const timer of timers) bunRuntime.clearTimer(timer);
  });

  test("onTerminate passes the signal's name on until it is removed", () => {
    const signals: string[] = [];
    const before = process.listenerCount("SIGTERM");
    const remove = bunRuntime.onTerminate((signal) => signals.push(signal));
    process.emit("SIGTERM", "SIGTERM");
    process.emit("SIGINT", "SIGINT");
    remove();
    expect(signals).toEqual(["SIGTERM", "SIGINT"]);
    expect(process.listenerCount("SIGTERM")).toBe(before);
  });
});
