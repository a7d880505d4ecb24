import { describe, expect, test } from "vitest";
import { readText } from "./lib/markdown.ts";
import { annotation, matchesOutput, programs, sourceOf } from "./lib/programs.ts";
import { runProgram } from "./lib/run-program.ts";
import { typeCheck } from "./lib/type-check.ts";

const all = programs();
/** What the compiler says of all of them; made by the first test that asks. */
let checked: Map<string, string[]> | null = null;

describe("TypeScript in the documentation", () => {
  test.each(all)("the block at $name type-checks", { timeout: 120_000 }, (program) => {
    checked ??= typeCheck(new Map(all.map((one) => [one.name, sourceOf(one)])));
    const offset = program.block.line - 1 - (program.before.split("\n").length - 1);
    const problems = checked.get(program.name)?.map((problem) => {
      const [, line, text] = /^(\d+)(: [\s\S]*)$/.exec(problem) ?? ["", "", problem];
      return line === "" ? problem : `${program.block.file}:${Number(line) + offset}${text}`;
    });
    expect(problems).toEqual([]);
  });

  const runnable = all.filter(({ runs }) => runs);
  test.each(runnable)(
    "the program at $name ends by itself and prints what is shown",
    { timeout: 120_000 },
    async (program) => {
      const { code, signal, stdout, stderr } = await runProgram(sourceOf(program));
      expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: "" });
      const shown = program.output ?? "";
      if (!matchesOutput(stdout, shown)) expect(stdout.trimEnd()).toBe(shown.trimEnd());
    },
  );

  const shown = all.filter(({ block }) => annotation(block, "file") !== null);
  test.each(shown)("the block at $name is the file that it shows", ({ block }) => {
    expect(block.code).toBe(readText(annotation(block, "file") ?? "").trimEnd());
  });
});
