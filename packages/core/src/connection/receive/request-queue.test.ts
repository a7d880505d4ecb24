import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { FrameType } from "../../wire/constants.ts";
import { QueuedFrame, wireBytes } from "./queued-frame.ts";
import { RequestQueue } from "./request-queue.ts";

/** Creates a frame with `payloadBytes` bytes after its 32-byte header. */
function item(correlationLo: number, payloadBytes = 10): QueuedFrame {
  const place = { bytes: new Uint8Array(payloadBytes), payloadStart: 0, payloadEnd: payloadBytes };
  const header = { type: FrameType.MESSAGE, flags: 0, correlationHi: 0, correlationLo };
  return new QueuedFrame({ ...header, ...place, exclusive: true, isShared: true }, false, 0);
}

function drain(queue: RequestQueue): number[] {
  const ids: number[] = [];
  for (let next = queue.shift(); next !== null; next = queue.shift()) ids.push(next.correlationLo);
  return ids;
}

describe("RequestQueue", () => {
  test("gives items in the order in which they came, and counts what waits", () => {
    const queue = new RequestQueue();
    for (const lo of [1, 2, 3]) queue.push(item(lo));
    expect([queue.length, queue.bytes]).toEqual([3, 126]);
    expect(drain(queue)).toEqual([1, 2, 3]);
    expect([queue.length, queue.bytes, queue.shift()]).toEqual([0, 0, null]);
  });

  test("forgets a request that is taken out", () => {
    const queue = new RequestQueue();
    const items = [1, 2, 3].map((lo) => item(lo));
    for (const one of items) queue.push(one);
    const second = items[1] as QueuedFrame;
    expect([queue.delete(second), queue.delete(second), queue.delete(item(1))]).toEqual([true, false, false]);
    expect([queue.length, queue.bytes, [...queue].length, drain(queue)]).toEqual([2, 84, 2, [1, 3]]);
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
      if (lo % 2 === 0) taken.push(queue.shift()?.correlationLo ?? -1);
    }
    expect([...taken, ...drain(queue)]).toEqual(Array.from({ length: 5000 }, (_, index) => index));
  });

  test("does as a plain array would, whatever the order of pushes, shifts and deletions", () => {
    const action = fc.oneof(
      fc.record({ do: fc.constant("push"), bytes: fc.nat(100) }),
      fc.record({ do: fc.constant("shift") }),
      fc.record({ do: fc.constant("delete"), index: fc.nat(60) }),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 200 }), (actions) => {
        const queue = new RequestQueue();
        const model: QueuedFrame[] = [];
        let next = 0;
        for (const step of actions) {
          if ("bytes" in step) {
            const pushed = item(next++, step.bytes);
            queue.push(pushed);
            model.push(pushed);
          } else if ("index" in step) {
            const [taken] = model.splice(step.index, 1);
            if (taken !== undefined) expect(queue.delete(taken)).toBe(true);
          } else {
            expect(queue.shift()).toBe(model.shift() ?? null);
          }
          expect(queue.length).toBe(model.length);
          expect(queue.bytes).toBe(model.reduce((sum, one) => sum + wireBytes(one), 0));
        }
      }),
    );
  });
});
