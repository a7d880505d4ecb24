import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { MAX_RUNNING_HOOKS } from "../limits.ts";
import { gate } from "../test-support/gate.ts";
import { microtasks } from "../test-support/microtasks.ts";
import { HookList } from "./hook-list.ts";

function bench() {
  const hooks = new HookList<[name: string]>();
  const errors: unknown[] = [];
  const log: string[] = [];
  return { hooks, errors, log, onError: (error: unknown) => errors.push(error) };
}

describe("HookList", () => {
  test("runs its hooks one after the other", async () => {
    const { hooks, log, onError } = bench();
    hooks.add(async (name) => {
      await null;
      log.push(`first ${name}`);
    });
    hooks.add((name) => log.push(`second ${name}`));
    await hooks.run(onError, "x");
    expect(log).toEqual(["first x", "second x"]);
  });

  test("a hook that fails is reported and does not stop the next", async () => {
    const { hooks, log, errors, onError } = bench();
    hooks.add(() => {
      throw new Error("one");
    });
    hooks.add(() => Promise.reject(new Error("two")));
    hooks.add(() => log.push("three"));
    await hooks.run(onError, "x");
    expect([errors, log]).toMatchObject([[{ message: "one" }, { message: "two" }], ["three"]]);
  });

  test("run strictly, the first hook that fails stops the others", async () => {
    const { hooks, log } = bench();
    hooks.add(() => Promise.reject(new Error("one")));
    hooks.add(() => log.push("two"));
    await expect(hooks.runStrict("x")).rejects.toThrow("one");
    expect(log).toEqual([]);
  });

  test("notified, all start at once, and late errors are reported too", async () => {
    const { hooks, log, errors, onError } = bench();
    const slow = gate();
    hooks.add(() => slow.promise);
    hooks.add(() => {
      throw new Error("sync");
    });
    hooks.add(() => log.push("third"));
    hooks.notify(onError, "x");
    expect([log, errors]).toMatchObject([["third"], [{ message: "sync" }]]);
    slow.fail(new Error("async"));
    await slow.promise.catch(() => undefined);
    await null;
    expect(errors).toMatchObject([{ message: "sync" }, { message: "async" }]);
  });

  test("while too many events have hooks that haven't finished, further ones start none, which is reported once", async () => {
    const { hooks, errors, onError } = bench();
    const running: (() => void)[] = [];
    hooks.add(() => new Promise<void>((resolve) => running.push(resolve)));
    for (let event = 0; event < MAX_RUNNING_HOOKS + 2; event += 1) hooks.notify(onError, "x");
    expect([running.length, errors]).toMatchObject([
      MAX_RUNNING_HOOKS,
      [{ code: ErrorCode.INVALID_STATE, message: expect.stringContaining("haven't finished") }],
    ]);
    running[0]?.();
    await microtasks();
    for (let event = 0; event < 2; event += 1) hooks.notify(onError, "x");
    expect([running.length, errors.length]).toEqual([MAX_RUNNING_HOOKS + 1, 2]);
  });

  test("a function added twice is two hooks; each remover takes its own, once", async () => {
    const { hooks, log, onError } = bench();
    const hook = (name: string): number => log.push(name);
    const removeFirst = hooks.add(hook);
    const removeSecond = hooks.add(hook);
    removeFirst();
    removeFirst();
    await hooks.run(onError, "x");
    expect([log, hooks.isEmpty]).toEqual([["x"], false]);
    removeSecond();
    expect(hooks.isEmpty).toBe(true);
  });

  test("hooks added or removed by a hook count from the next time on", async () => {
    const { hooks, log, onError } = bench();
    const remove = hooks.add(() => {
      remove();
      hooks.add((name) => log.push(`added ${name}`));
    });
    hooks.add((name) => log.push(`second ${name}`));
    await hooks.run(onError, "1");
    await hooks.run(onError, "2");
    expect(log).toEqual(["second 1", "second 2", "added 2"]);
  });
});
