import { setImmediate } from "node:timers/promises";
import { expect, test } from "vitest";
import { nodeRuntime } from "./runtime.ts";

const MORE_THAN_A_TURN_MS = 0.3;

function work(): void {
  const endsAtMs = performance.now() + MORE_THAN_A_TURN_MS;
  while (performance.now() < endsAtMs);
}

/** Runs operations concurrently, each followed by work. Returns how many ended in each turn of the event loop. */
async function endsPerTurn(count: number, operation: () => Promise<unknown>): Promise<number[]> {
  const perTurn: number[] = [];
  let ends = 0;
  const all = Array.from({ length: count }, async () => {
    await operation();
    ends += 1;
    work();
  });
  for (let ended = 0; ended < count; ended += ends) {
    ends = 0;
    await setImmediate();
    perTurn.push(ends);
  }
  await Promise.all(all);
  return perTurn;
}

test("work behind operations on files takes one slice of a turn, however many end in it", async () => {
  const { files } = nodeRuntime;
  const perTurn = await endsPerTurn(50, async () => files?.facts(import.meta.filename));
  // The first operation of a turn, and the first that waited.
  expect(Math.max(...perTurn)).toBeLessThanOrEqual(2);
});

test("an operation that fails has its turn, too", async () => {
  const perTurn = await endsPerTurn(
    10,
    () => nodeRuntime.files?.remove("/nowhere/at/all").catch(() => undefined) as Promise<void>,
  );
  expect(Math.max(...perTurn)).toBeLessThanOrEqual(2);
});
