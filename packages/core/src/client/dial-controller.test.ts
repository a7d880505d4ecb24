import { describe, expect, test } from "vitest";
import { gate } from "../test-support/gate.ts";
import { DialController } from "./dial-controller.ts";

describe("DialController", () => {
  test("returns the work's result", async () => {
    const abort = new DialController();
    expect(await abort.race(Promise.resolve(5))).toBe(5);
    await expect(abort.race(Promise.reject(new Error("no")))).rejects.toThrow("no");
  });

  test("ends the wait with its reason, regardless of the work's result", async () => {
    const abort = new DialController();
    const work = gate<number>();
    const waiting = abort.race(work.promise);
    const reason = new Error("called off");
    abort.abort(reason);
    work.open(5);
    await expect(waiting).rejects.toBe(reason);
    expect([abort.aborted, abort.reason]).toEqual([true, reason]);
  });

  test("immediately ends a wait that starts after the abort, even if the work itself aborted", async () => {
    const abort = new DialController();
    const reason = new Error("called off");
    const work = (): Promise<never> => {
      abort.abort(reason);
      return new Promise(() => undefined);
    };
    await expect(abort.race(work())).rejects.toBe(reason);
  });

  test("notifies its listeners until they are removed", () => {
    const abort = new DialController();
    const heard: string[] = [];
    const listener = (name: string) => (): void => void heard.push(name);
    const gone = listener("gone");
    for (const each of [listener("first"), gone, listener("second")]) abort.addEventListener("abort", each);
    abort.removeEventListener("abort", gone);
    abort.abort(new Error("called off"));
    expect(heard).toEqual(["first", "second"]);
  });

  test("keeps its first reason", async () => {
    const abort = new DialController();
    const [first, second] = [new Error("first"), new Error("second")];
    abort.abort(first);
    abort.abort(second);
    expect(abort.reason).toBe(first);
  });
});
