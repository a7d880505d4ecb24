import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { WriteQueue } from "./write-queue.ts";

const bytes = (...values: number[]): Uint8Array => new Uint8Array(values);

describe("WriteQueue", () => {
  test("gives chunks in order, each until all of it was consumed", () => {
    const queue = new WriteQueue(10);
    queue.push(bytes(1, 2, 3));
    queue.push(bytes(4));
    expect(queue.peek()).toEqual(bytes(1, 2, 3));
    queue.consume(2);
    expect(queue.peek()).toEqual(bytes(3));
    queue.consume(1);
    expect(queue.peek()).toEqual(bytes(4));
    queue.consume(1);
    expect([queue.peek(), queue.isEmpty]).toEqual([null, true]);
  });

  test("is full from its high-water mark on", () => {
    const queue = new WriteQueue(3);
    queue.push(bytes(1, 2));
    expect([queue.isFull, queue.queuedBytes]).toEqual([false, 2]);
    queue.push(bytes(3));
    expect([queue.isFull, queue.queuedBytes]).toEqual([true, 3]);
  });

  test("ignores empty chunks", () => {
    const queue = new WriteQueue(3);
    queue.push(bytes());
    expect([queue.peek(), queue.isEmpty]).toEqual([null, true]);
  });

  test("is empty after clear, in the middle of a chunk too", () => {
    const queue = new WriteQueue(3);
    queue.push(bytes(1, 2, 3));
    queue.consume(1);
    queue.clear();
    expect([queue.peek(), queue.queuedBytes]).toEqual([null, 0]);
  });

  test("loses and reorders nothing, whatever the order of pushes and consumes", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(fc.uint8Array({ maxLength: 20 }), fc.nat({ max: 25 }))), (steps) => {
        const queue = new WriteQueue(16);
        const pushed: number[] = [];
        const taken: number[] = [];
        for (const step of steps) {
          if (typeof step !== "number") {
            pushed.push(...step);
            queue.push(step);
            continue;
          }
          const next = queue.peek() ?? bytes();
          const count = Math.min(step, next.length);
          taken.push(...next.subarray(0, count));
          queue.consume(count);
        }
        for (let next = queue.peek(); next !== null; next = queue.peek()) {
          taken.push(...next);
          queue.consume(next.length);
        }
        expect(taken).toEqual(pushed);
        expect(queue.queuedBytes).toBe(0);
      }),
    );
  });
});
