/**
 * A model of two ends that saturate each other: all streams in both directions are full, frames arrive in any order
 * that a connection permits, and applications consume items at any time. Everything must arrive.
 */

import * as fc from "fast-check";
import { expect, test } from "vitest";
import { StreamEnd, settle } from "../../test-support/stream-end.ts";

/** `STREAM_RUNS=4000` runs more. */
const RUNS = Number(process.env["STREAM_RUNS"] ?? 150);

/** Delivers the next frame to the other end. Control frames may overtake. */
function deliver(from: StreamEnd, to: StreamEnd, isControl: boolean): void {
  const bytes = (isControl ? from.frame("control") : undefined) ?? from.frame("data");
  if (bytes !== undefined) to.receive(bytes);
}

/** Consumes items, each after `pace` has resolved. */
async function take(input: AsyncIterable<unknown>, taken: number[], pace: () => Promise<void>): Promise<void> {
  for await (const item of input) {
    await pace();
    taken.push((item as { length: number }).length);
  }
}

test("two ends that fill all streams of both directions never lock up, and every item arrives in order", async () => {
  const sizes = fc.array(fc.constantFrom(1, 60, 3000, 5000, 70_000, 200_000), { minLength: 1, maxLength: 12 });
  const scene = fc.record({
    streams: fc.array(fc.record({ isA: fc.boolean(), sizes }), { minLength: 2, maxLength: 6 }),
    steps: fc.array(fc.nat({ max: 7 }), { minLength: 20, maxLength: 300 }),
  });
  await fc.assert(
    fc.asyncProperty(scene, async ({ streams, steps }) => {
      const a = new StreamEnd();
      const b = new StreamEnd();
      const waiting: (() => void)[] = [];
      const pace = (): Promise<void> => new Promise((resolve) => waiting.push(resolve));
      const done: Promise<unknown>[] = [];
      const taken = streams.map((): number[] => []);
      streams.forEach(({ isA, sizes: list }, id) => {
        const [from, to] = isA ? [a, b] : [b, a];
        const items = list.map((size, n) => (n % 2 === 0 ? new Uint8Array(size) : "x".repeat(size)));
        done.push(from.send(id, items));
        done.push(take(to.called(id).input, taken[id] as number[], pace));
      });
      const step = (end: StreamEnd, isFlush: boolean): void => (isFlush ? end.flush() : end.nextTurn());
      const act = (choice: number): void => {
        if (choice < 4) deliver(choice < 2 ? a : b, choice < 2 ? b : a, choice % 2 === 0);
        else if (choice < 6) waiting.shift()?.();
        else step(choice === 6 ? a : b, waiting.length % 2 === 0);
      };
      for (const choice of steps) {
        act(choice);
        await settle();
      }
      let isDone = false;
      void Promise.all(done).then(() => {
        isDone = true;
      });
      for (let round = 0; !isDone && round < 5000; round += 1) {
        for (const choice of [0, 1, 2, 3, 4, 5, 6, 7, 6, 7]) act(choice);
        for (const end of [a, b]) for (const isFlush of [true, false]) step(end, isFlush);
        await settle();
      }
      expect([a.failures, b.failures]).toEqual([[], []]);
      expect(isDone).toBe(true);
      expect(taken).toEqual(streams.map(({ sizes: list }) => list));
      expect([a.streams.heldBytes, b.streams.heldBytes]).toEqual([0, 0]);
    }),
    { numRuns: RUNS },
  );
});
