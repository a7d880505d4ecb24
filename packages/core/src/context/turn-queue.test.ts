import { expect, test } from "vitest";
import { fakeRuntime } from "../test-support/fake-runtime.ts";
import { TurnQueue } from "./turn-queue.ts";

test("one waiting piece of work continues per turn, in order, again and again", async () => {
  const runtime = fakeRuntime();
  const turns: string[][] = [];
  runtime.nextTurn = (task) => {
    setImmediate(() => {
      turns.push([]);
      task();
    });
  };
  const queue = new TurnQueue(runtime);
  const work = (name: string, pieces: number) => {
    let left = pieces;
    return {
      continueTurn() {
        turns.at(-1)?.push(name);
        left -= 1;
        if (left > 0) queue.add(this);
      },
    };
  };
  queue.add(work("a", 2));
  queue.add(work("b", 1));
  queue.add(work("c", 2));
  while (turns.flat().length < 5) await new Promise((resolve) => setImmediate(resolve));
  expect(turns).toEqual([["a"], ["b"], ["c"], ["a"], ["c"]]);
});
