import { beforeAll, describe, expect, test } from "vitest";
import { readText } from "./lib/markdown.ts";
import { annotation, matchesOutput, type Program, programs, sourceOf } from "./lib/programs.ts";
import { runProgram } from "./lib/run-program.ts";
import { runTogether, type TogetherRun } from "./lib/run-together.ts";
import { typeCheck } from "./lib/type-check.ts";

const all = programs();
/** Compiler problems by runtime; filled by the first test that needs them. */
const checked = new Map<string, Map<string, string[]>>();

function problemsOf(program: Program, runtime: "node" | "bun"): string[] {
  let found = checked.get(runtime);
  if (found === undefined) {
    const sources = all.filter((one) => one.runtime === runtime).map((one) => [one.name, sourceOf(one)] as const);
    found = typeCheck(new Map(sources), runtime);
    checked.set(runtime, found);
  }
  return found.get(program.name) ?? [];
}

function expectShown(stdout: string, { output }: Program): void {
  const shown = output ?? "";
  if (!matchesOutput(stdout, shown)) expect(stdout.trimEnd()).toBe(shown.trimEnd());
}

describe("TypeScript in the documentation", () => {
  // Deno checks types itself when it runs the program.
  test.each(all.filter(({ runtime }) => runtime !== "deno"))(
    "the block at $name type-checks",
    { timeout: 120_000 },
    (program) => {
      if (program.runtime === "deno") throw new Error("TypeScript's compiler has no types of Deno");
      const offset = program.block.line - 1 - (program.before.split("\n").length - 1);
      const problems = problemsOf(program, program.runtime).map((problem) => {
        const [, line, text] = /^(\d+)(: [\s\S]*)$/.exec(problem) ?? ["", "", problem];
        return line === "" ? problem : `${program.block.file}:${Number(line) + offset}${text}`;
      });
      expect(problems).toEqual([]);
    },
  );

  test.each(all.filter(({ runtime }) => runtime === "deno"))(
    "the block at $name is run, because that is when Deno checks its types",
    ({ runs }) => {
      expect(runs).toBe(true);
    },
  );

  test.each(all.filter(({ runs, runtime }) => runs && runtime !== "node"))(
    "the program at $name ends by itself and prints what is shown ($runtime)",
    { timeout: 120_000 },
    async (program) => {
      const { runtime, permissions } = program;
      const run = await runProgram(sourceOf(program), { runtime, permissions, check: true });
      const { code, signal, stdout, stderr } = run;
      expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: "" });
      expectShown(stdout, program);
    },
  );

  describe("programs on Node.js", () => {
    const onNode = all.filter(({ runs, runtime }) => runs && runtime === "node");
    let run: TogetherRun;

    beforeAll(async () => {
      run = await runTogether(new Map(onNode.map((one) => [one.name, sourceOf(one)])), "node");
    }, 300_000);

    test.each(onNode)("the one at $name prints what is shown", (program) => {
      const result = run.results.get(program.name);
      expect({ error: result?.error, stderr: run.stderr }).toEqual({ error: null, stderr: "" });
      expectShown(result?.stdout ?? "", program);
    });

    test("end by themselves", () => {
      const { code, signal, stderr } = run;
      expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: "" });
    });
  });

  const shown = all.filter(({ block }) => annotation(block, "file") !== null);
  test.each(shown)("the block at $name is the file that it shows", ({ block }) => {
    expect(block.code).toBe(readText(annotation(block, "file") ?? "").trimEnd());
  });
});
