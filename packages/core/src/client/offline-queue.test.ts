import { describe, expect, test } from "vitest";
import { ErrorCode } from "../errors.ts";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { TimerWheel } from "../util/timer-wheel.ts";
import { type OfflineItem, OfflineQueue } from "./offline-queue.ts";

function bench(maxItems = 10) {
  const runtime = fakeRuntime();
  const queue = new OfflineQueue<string>(new TimerWheel(runtime), { sendQueueSize: maxItems, sendQueueBytes: 1000 });
  const log: string[] = [];
  const item = (name: string, timeoutMs = 0, failure?: Error): OfflineItem<string> => ({
    called: name,
    timeoutMs,
    bytes: 10,
    send: (connection) => {
      if (failure !== undefined) throw failure;
      log.push(`${name} to ${connection}`);
    },
    reject: (error) => log.push(`${name}: ${(error as { code?: number }).code ?? error.message}`),
  });
  return { runtime, queue, log, item };
}

describe("OfflineQueue", () => {
  test("sends everything once, in order", () => {
    const { queue, log, item } = bench();
    for (const name of ["a", "b", "c"]) queue.add(item(name));
    queue.sendAll("connection");
    queue.sendAll("another");
    expect(log).toEqual(["a to connection", "b to connection", "c to connection"]);
  });

  test("rejects everything once, in order", () => {
    const { queue, log, item } = bench();
    for (const name of ["a", "b"]) queue.add(item(name));
    queue.rejectAll(new Error("over"));
    queue.rejectAll(new Error("twice"));
    expect(log).toEqual(["a: over", "b: over"]);
  });

  test("drops only the item whose timeout has elapsed", async () => {
    const { runtime, queue, log, item } = bench();
    queue.add(item("a", 100));
    queue.add(item("b", 300));
    queue.add(item("c"));
    await runtime.advance(150);
    expect(log).toEqual([`a: ${ErrorCode.TIMEOUT}`]);
    queue.sendAll("connection");
    await runtime.advance(1000);
    expect(log.slice(1)).toEqual(["b to connection", "c to connection"]);
  });

  test("an item that can't be sent is rejected, and the next is sent", () => {
    const { queue, log, item } = bench();
    queue.add(item("a", 0, new Error("no")));
    queue.add(item("b"));
    queue.sendAll("connection");
    expect(log).toEqual(["a: no", "b to connection"]);
  });

  test("removes an item once", async () => {
    const { runtime, queue, log, item } = bench();
    const items = [item("a", 100), item("b", 100)] as const;
    for (const one of items) queue.add(one);
    expect([queue.remove(items[1]), queue.remove(items[1])]).toEqual([true, false]);
    await runtime.advance(200);
    expect(log).toEqual([`a: ${ErrorCode.TIMEOUT}`]);
  });

  test("is bounded, and reports low capacity from 80 percent", () => {
    const { queue, item } = bench(5);
    expect(["a", "b", "c", "d", "e"].map((name) => queue.add(item(name)))).toEqual([true, true, true, false, false]);
    expect(() => queue.add(item("f"))).toThrow(expect.objectContaining({ code: ErrorCode.SEND_QUEUE_FULL }));
  });

  test("has its full capacity in bytes again after everything was sent", () => {
    const { queue, item } = bench();
    for (const leave of [() => queue.sendAll("connection"), () => queue.rejectAll(new Error("over"))]) {
      queue.add({ ...item("large"), bytes: 900 });
      leave();
      expect(queue.add({ ...item("next"), bytes: 700 })).toBe(true);
      leave();
    }
  });

  test("is also bounded in bytes, and removed items free space", () => {
    const { queue, item } = bench();
    const large = { ...item("large"), bytes: 1000 };
    expect(queue.add(large)).toBe(false);
    expect(() => queue.add(item("b"))).toThrow(expect.objectContaining({ code: ErrorCode.SEND_QUEUE_FULL }));
    queue.remove(large);
    expect(queue.add(item("c"))).toBe(true);
  });

  test("an item added while all are being sent waits for the next flush", () => {
    const { queue, log, item } = bench();
    queue.add({
      ...item("a"),
      send: () => {
        queue.add(item("late"));
      },
    });
    queue.sendAll("connection");
    expect(log).toEqual([]);
    queue.sendAll("next connection");
    expect(log).toEqual(["late to next connection"]);
  });
});
