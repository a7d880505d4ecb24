import { expect, test } from "vitest";
import { startProgram } from "./lib/test-support.ts";

test("the demo shows its six steps in plain text and ends with code 0", { timeout: 60_000 }, async () => {
  const demo = startProgram("demo.ts");
  const end = await demo.ended;
  expect(demo.output).toMatch(/^\d+ checks, all as they should be\. It took .*$/m);
  expect(end).toEqual({ code: 0, signal: null });
  const steps = demo.output.split("\n").filter((line) => /^\d+\. /.test(line));
  expect(steps.map((line) => Number.parseInt(line, 10))).toEqual([1, 2, 3, 4, 5, 6]);
  // No escape sequence: what reads a pipe is not a terminal.
  expect(demo.output).not.toContain("\u001b");
});
