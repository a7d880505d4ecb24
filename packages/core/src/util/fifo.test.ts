import { expect, test } from "vitest";
import { Fifo } from "./fifo.ts";

test("a queue returns its items in order, however pushes and shifts are mixed", () => {
  const queue = new Fifo<number>();
  let pushed = 0;
  let shifted = 0;
  for (let round = 0; round < 5000; round += 1) {
    for (let count = 0; count < round % 7; count += 1) queue.push(pushed++);
    for (let count = 0; count < round % 5; count += 1) {
      if (queue.length > 0) {
        expect(queue.peek()).toBe(shifted);
        expect(queue.shift()).toBe(shifted++);
      }
    }
    expect(queue.length).toBe(pushed - shifted);
  }
  expect([...queue][0]).toBe(shifted);
  expect([...queue]).toHaveLength(pushed - shifted);
});

test("an empty queue gives undefined, and can be filled again", () => {
  const queue = new Fifo<string>();
  expect([queue.shift(), queue.peek(), queue.length]).toEqual([undefined, undefined, 0]);
  queue.push("a");
  queue.clear();
  expect([queue.shift(), queue.length]).toEqual([undefined, 0]);
  queue.push("b");
  expect([queue.shift(), queue.length]).toEqual(["b", 0]);
});
