import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { TimerWheel } from "../util/timer-wheel.ts";
import { type OfflineItem, OfflineQueue } from "./offline-queue.ts";

function bench(maxItems = 10) {
  const runtime = fakeRuntime();
  const queue = new OfflineQueue<string>(new TimerWheel(runtime), maxItems);
  const log: string[] = [];
  const item = (name: string, timeoutMs = 0, failure?: Error): OfflineItem<string> => ({
    name,
    timeoutMs,
    send: (link) => {
      if (failure !== undefined) throw failure;
      log.push(`${name} to ${link}`);
    },
    reject: (error) => log.push(`${name}: ${(error as { code?: number }).code ?? error.message}`),
  });
  return { runtime, queue, log, item };
}

describe("OfflineQueue", () => {
  test("sends everything once, in order", () => {
    const { queue, log, item } = bench();
    for (const name of ["a", "b", "c"]) queue.add(item(name));
    queue.sendAll("link");
    queue.sendAll("another");
    expect(log).toEqual(["a to link", "b to link", "c to link"]);
  });

  test("rejects everything once, in order", () => {
    const { queue, log, item } = bench();
    for (const name of ["a", "b"]) queue.add(item(name));
    queue.rejectAll(new Error("over"));
    queue.rejectAll(new Error("twice"));
    expect(log).toEqual(["a: over", "b: over"]);
  });

  test("gives an item up when its time is over, and no other", async () => {
    const { runtime, queue, log, item } = bench();
    queue.add(item("a", 100));
    queue.add(item("b", 300));
    queue.add(item("c"));
    await runtime.advance(150);
    expect(log).toEqual([`a: ${ErrorCode.TIMEOUT}`]);
    queue.sendAll("link");
    await runtime.advance(1000);
    expect(log.slice(1)).toEqual(["b to link", "c to link"]);
  });

  test("an item that fails to be sent is rejected, and the next one is sent", () => {
    const { queue, log, item } = bench();
    queue.add(item("a", 0, new Error("no")));
    queue.add(item("b"));
    queue.sendAll("link");
    expect(log).toEqual(["a: no", "b to link"]);
  });

  test("takes an item back, once", async () => {
    const { runtime, queue, log, item } = bench();
    const items = [item("a", 100), item("b", 100)] as const;
    for (const one of items) queue.add(one);
    expect([queue.remove(items[1]), queue.remove(items[1])]).toEqual([true, false]);
    await runtime.advance(200);
    expect(log).toEqual([`a: ${ErrorCode.TIMEOUT}`]);
  });

  test("is bounded, and says from 80 percent on that room is short", () => {
    const { queue, item } = bench(5);
    expect(["a", "b", "c", "d", "e"].map((name) => queue.add(item(name)))).toEqual([true, true, true, false, false]);
    expect(() => queue.add(item("f"))).toThrow(expect.objectContaining({ code: ErrorCode.SEND_QUEUE_FULL }));
  });

  test("an item added while all are sent waits for the next time", () => {
    const { queue, log, item } = bench();
    queue.add({
      ...item("a"),
      send: () => {
        queue.add(item("late"));
      },
    });
    queue.sendAll("link");
    expect(log).toEqual([]);
    queue.sendAll("next link");
    expect(log).toEqual(["late to next link"]);
  });
});
