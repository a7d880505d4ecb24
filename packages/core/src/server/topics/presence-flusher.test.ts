import { expect, test } from "vitest";
import { fakeRuntime } from "../../test-support/fake-runtime.ts";
import { TimerWheel } from "../../util/timer-wheel.ts";
import { PresenceFlusher } from "./presence-flusher.ts";

function bench() {
  const runtime = fakeRuntime();
  const flushed: string[] = [];
  const turns: (() => void)[] = [];
  const failures: [string, unknown][] = [];
  let nowMs = 0;
  const flusher = new PresenceFlusher({
    wheel: new TimerWheel(runtime),
    now: () => nowMs,
    nextTurn: (task) => turns.push(task),
    flushFailed: (topic, error) => failures.push([topic, error]),
  });
  const topic = (name: string, costMs = 0, error: Error | null = null) => ({
    topic: name,
    flush: () => {
      flushed.push(name);
      nowMs += costMs;
      if (error !== null) throw error;
      return true;
    },
  });
  return { runtime, flushed, failures, turns, flusher, topic };
}

test("topics that change within the window are flushed once, together", async () => {
  const { runtime, flushed, flusher, topic } = bench();
  const [first, second] = [topic("first"), topic("second")];
  flusher.add(first);
  await runtime.advance(50);
  flusher.add(second);
  flusher.add(first);
  await runtime.advance(49);
  expect(flushed).toEqual([]);
  await runtime.advance(30);
  expect(flushed).toEqual(["first", "second"]);
});

test("many topics take a slice of each turn", async () => {
  const { runtime, flushed, turns, flusher, topic } = bench();
  for (const name of ["a", "b", "c"]) flusher.add(topic(name, 1));
  await runtime.advance(120);
  expect([flushed, turns.length]).toEqual([["a"], 1]);
  turns.shift()?.();
  turns.shift()?.();
  expect([flushed, turns.length]).toEqual([["a", "b", "c"], 0]);
});

test("a topic that fails is reported, and stops no others, also in a later turn", async () => {
  const { runtime, flushed, failures, turns, flusher, topic } = bench();
  const error = new Error("too large");
  for (const one of [topic("a", 1, error), topic("b", 0, error), topic("c")]) flusher.add(one);
  await runtime.advance(120);
  turns.shift()?.();
  expect(failures).toEqual([
    ["a", error],
    ["b", error],
  ]);
  flusher.add(topic("d"));
  await runtime.advance(120);
  expect(flushed).toEqual(["a", "b", "c", "d"]);
});

test("a topic that ended isn't flushed, and the last one leaves no timer", async () => {
  const { runtime, flushed, turns, flusher, topic } = bench();
  const [first, second, third] = [topic("first", 1), topic("second", 1), topic("third", 1)];
  for (const one of [first, second, third]) flusher.add(one);
  flusher.delete(first);
  await runtime.advance(120);
  flusher.delete(third);
  turns.shift()?.();
  expect(flushed).toEqual(["second"]);
  const alone = topic("alone");
  flusher.add(alone);
  flusher.delete(alone);
  await runtime.advance(1000);
  expect(flushed).toEqual(["second"]);
});
