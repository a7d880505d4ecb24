import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type QueuedRequest, RequestQueue } from "./request-queue.ts";

function item(lo: number, isCall = true, bytes = 10): QueuedRequest {
  return { isCall, name: "m", value: null, hi: 0, lo, timeoutMs: 0, receivedAt: 0, bytes };
}

function drain(inbox: RequestQueue): number[] {
  const ids: number[] = [];
  for (let next = inbox.shift(); next !== null; next = inbox.shift()) ids.push(next.lo);
  return ids;
}

describe("RequestQueue", () => {
  test("gives items in the order in which they came, and counts what waits", () => {
    const inbox = new RequestQueue();
    for (const lo of [1, 2, 3]) inbox.push(item(lo));
    expect([inbox.length, inbox.bytes]).toEqual([3, 30]);
    expect(drain(inbox)).toEqual([1, 2, 3]);
    expect([inbox.length, inbox.bytes, inbox.shift()]).toEqual([0, 0, null]);
  });

  test("forgets the call that is cancelled", () => {
    const inbox = new RequestQueue();
    for (const lo of [1, 2, 3]) inbox.push(item(lo));
    expect([inbox.cancel(0, 2), inbox.cancel(0, 2), inbox.cancel(1, 1)]).toEqual([true, false, false]);
    expect([inbox.length, inbox.bytes, drain(inbox)]).toEqual([2, 20, [1, 3]]);
  });

  test("forgets a message that asks for a reply as well", () => {
    const inbox = new RequestQueue();
    inbox.push(item(1, false));
    expect([inbox.cancel(0, 1), inbox.length]).toEqual([true, 0]);
  });

  test("is empty after clear", () => {
    const inbox = new RequestQueue();
    inbox.push(item(1));
    inbox.shift();
    inbox.push(item(2));
    inbox.clear();
    expect([inbox.length, inbox.bytes, inbox.shift()]).toEqual([0, 0, null]);
  });

  test("keeps its order over thousands of items, half taken while others come", () => {
    const inbox = new RequestQueue();
    const taken: number[] = [];
    for (let lo = 0; lo < 5000; lo += 1) {
      inbox.push(item(lo));
      if (lo % 2 === 0) taken.push(inbox.shift()?.lo ?? -1);
    }
    expect([...taken, ...drain(inbox)]).toEqual(Array.from({ length: 5000 }, (_, index) => index));
  });

  test("does as a plain array would, whatever the order of pushes, shifts and cancels", () => {
    const action = fc.oneof(
      fc.record({ do: fc.constant("push"), isCall: fc.boolean(), bytes: fc.nat(100) }),
      fc.record({ do: fc.constant("shift") }),
      fc.record({ do: fc.constant("cancel"), lo: fc.nat(60) }),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 200 }), (actions) => {
        const inbox = new RequestQueue();
        const model: QueuedRequest[] = [];
        let next = 0;
        for (const step of actions) {
          if ("bytes" in step) {
            const pushed = item(next++, step.isCall, step.bytes);
            inbox.push(pushed);
            model.push(pushed);
          } else if ("lo" in step) {
            const index = model.findIndex((one) => one.lo === step.lo);
            expect(inbox.cancel(0, step.lo)).toBe(index >= 0);
            if (index >= 0) model.splice(index, 1);
          } else {
            expect(inbox.shift()).toBe(model.shift() ?? null);
          }
          expect(inbox.length).toBe(model.length);
          expect(inbox.bytes).toBe(model.reduce((sum, one) => sum + one.bytes, 0));
        }
      }),
    );
  });
});
