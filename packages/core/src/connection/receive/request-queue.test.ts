import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type QueuedRequest, RequestQueue } from "./request-queue.ts";

function item(lo: number, isCall = true, bytes = 10): QueuedRequest {
  return { isCall, name: "m", value: null, hi: 0, lo, timeoutMs: 0, receivedAt: 0, bytes };
}

function drain(queue: RequestQueue): number[] {
  const ids: number[] = [];
  for (let next = queue.shift(); next !== null; next = queue.shift()) ids.push(next.lo);
  return ids;
}

describe("RequestQueue", () => {
  test("gives items in the order in which they came, and counts what waits", () => {
    const queue = new RequestQueue();
    for (const lo of [1, 2, 3]) queue.push(item(lo));
    expect([queue.length, queue.bytes]).toEqual([3, 30]);
    expect(drain(queue)).toEqual([1, 2, 3]);
    expect([queue.length, queue.bytes, queue.shift()]).toEqual([0, 0, null]);
  });

  test("forgets the call that is cancelled", () => {
    const queue = new RequestQueue();
    for (const lo of [1, 2, 3]) queue.push(item(lo));
    expect([queue.cancel(0, 2), queue.cancel(0, 2), queue.cancel(1, 1)]).toEqual([true, false, false]);
    expect([queue.length, queue.bytes, drain(queue)]).toEqual([2, 20, [1, 3]]);
  });

  test("forgets a message that asks for a reply as well", () => {
    const queue = new RequestQueue();
    queue.push(item(1, false));
    expect([queue.cancel(0, 1), queue.length]).toEqual([true, 0]);
  });

  test("is empty after clear", () => {
    const queue = new RequestQueue();
    queue.push(item(1));
    queue.shift();
    queue.push(item(2));
    queue.clear();
    expect([queue.length, queue.bytes, queue.shift()]).toEqual([0, 0, null]);
  });

  test("keeps its order over thousands of items, half taken while others come", () => {
    const queue = new RequestQueue();
    const taken: number[] = [];
    for (let lo = 0; lo < 5000; lo += 1) {
      queue.push(item(lo));
      if (lo % 2 === 0) taken.push(queue.shift()?.lo ?? -1);
    }
    expect([...taken, ...drain(queue)]).toEqual(Array.from({ length: 5000 }, (_, index) => index));
  });

  test("does as a plain array would, whatever the order of pushes, shifts and cancels", () => {
    const action = fc.oneof(
      fc.record({ do: fc.constant("push"), isCall: fc.boolean(), bytes: fc.nat(100) }),
      fc.record({ do: fc.constant("shift") }),
      fc.record({ do: fc.constant("cancel"), lo: fc.nat(60) }),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 200 }), (actions) => {
        const queue = new RequestQueue();
        const model: QueuedRequest[] = [];
        let next = 0;
        for (const step of actions) {
          if ("bytes" in step) {
            const pushed = item(next++, step.isCall, step.bytes);
            queue.push(pushed);
            model.push(pushed);
          } else if ("lo" in step) {
            const index = model.findIndex((one) => one.lo === step.lo);
            expect(queue.cancel(0, step.lo)).toBe(index >= 0);
            if (index >= 0) model.splice(index, 1);
          } else {
            expect(queue.shift()).toBe(model.shift() ?? null);
          }
          expect(queue.length).toBe(model.length);
          expect(queue.bytes).toBe(model.reduce((sum, one) => sum + one.bytes, 0));
        }
      }),
    );
  });
});
