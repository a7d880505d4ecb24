import { expect, test } from "vitest";
import { type FileProgress, ProgressReporter } from "./file-progress.ts";

function reporter(total: number | null, offset = 0) {
  const heard: FileProgress[] = [];
  const clock = { ms: 0 };
  const progress = new ProgressReporter(
    (value) => heard.push(value),
    () => clock.ms,
  );
  progress.begins(total, offset);
  return { heard, clock, progress };
}

test("progress is reported ten times a second, with the rate of this attempt and the time that the rest takes", () => {
  const { heard, clock, progress } = reporter(1000, 500);
  for (clock.ms = 10; clock.ms <= 200; clock.ms += 10) progress.moved(500 + clock.ms);
  expect(heard).toEqual([
    { phase: "moving", bytes: 600, resumedFrom: 500, total: 1000, bytesPerSecond: 1000, etaMs: 400 },
    { phase: "moving", bytes: 700, resumedFrom: 500, total: 1000, bytesPerSecond: 1000, etaMs: 300 },
  ]);
});

test("progress of a file without a size has no end in sight until it is there", () => {
  const { heard, clock, progress } = reporter(null);
  clock.ms = 100;
  progress.moved(10);
  progress.ended(10);
  expect(heard.map(({ total, etaMs }) => [total, etaMs])).toEqual([
    [null, null],
    [10, 0],
  ]);
});

test("checking is a phase with a rate of its own", () => {
  const { heard, clock, progress } = reporter(100, 90);
  progress.moved(100);
  progress.checked(0);
  clock.ms = 100;
  progress.checked(50);
  expect(heard).toEqual([
    { phase: "checking", bytes: 50, resumedFrom: 90, total: 100, bytesPerSecond: 500, etaMs: 100 },
  ]);
});

test("a transfer that waits has neither a rate nor an end in sight, and the next attempt has its own", () => {
  const { heard, clock, progress } = reporter(1000);
  clock.ms = 50;
  progress.moved(500);
  progress.waits();
  clock.ms = 1000;
  progress.begins(1000, 400);
  clock.ms = 1100;
  progress.moved(500);
  expect(heard).toEqual([
    { phase: "waiting", bytes: 500, resumedFrom: 0, total: 1000, bytesPerSecond: 0, etaMs: null },
    { phase: "moving", bytes: 500, resumedFrom: 400, total: 1000, bytesPerSecond: 1000, etaMs: 500 },
  ]);
});
