import { describe, expect, test } from "vitest";
import { RUNTIMES } from "./lib/runtimes.ts";
import { PAIRS, startProgram } from "./lib/test-support.ts";

describe("the demo", { timeout: 60_000 }, () => {
  test.each(RUNTIMES)("on %s shows its six steps in plain text and exits with code 0", async (runtime) => {
    const demo = startProgram("demo.ts", { runtime });
    const end = await demo.ended;
    expect(demo.output).toMatch(/^29 checks passed\. It took .*$/m);
    expect(end).toEqual({ code: 0, signal: null });
    expect(stepNumbers(demo.output)).toEqual([1, 2, 3, 4, 5, 6]);
    // No escape sequences: a pipe isn't a terminal.
    expect(demo.output).not.toContain("\u001b");
  });

  test("on three runtimes shows a server on each with clients from each, and exits with code 0", async () => {
    const demo = startProgram("demo-runtimes.ts");
    const end = await demo.ended;
    expect(demo.output).toMatch(/^67 checks passed\. It took .*$/m);
    expect(end).toEqual({ code: 0, signal: null });
    expect(stepNumbers(demo.output)).toEqual([1, 2, 3, 4, 5, 6]);
    for (const runtime of RUNTIMES) expect(demo.output).toContain(`Server } from "@netconduit/${runtime}";`);
    expect(demo.output.match(/ log in /g)).toHaveLength(PAIRS.length);
    expect(demo.output).not.toContain("\u001b");
  });

  test("of a cluster kills a node whose client continues with another one, and exits with code 0", async () => {
    const demo = startProgram("../scripts/demo.ts", { args: ["--cluster"] });
    expect(await demo.ended, demo.output).toEqual({ code: 0, signal: null });
    expect(demo.output).toMatch(/^9 checks passed\. It took .*$/m);
    expect(stepNumbers(demo.output)).toEqual([1, 2, 3, 4, 5, 6]);
  });

  test("on three runtimes names the missing ones, shows the rest, and exits with code 1", async () => {
    const demo = startProgram("demo-runtimes.ts", { env: { PATH: "" } });
    expect(await demo.ended).toEqual({ code: 1, signal: null });
    expect(demo.output).toMatch(/^8 checks passed\./m);
    expect(demo.output.split("\n").at(-1)).toMatch(/^Skipped because they are not on the PATH.*: Bun, Deno$/);
  });

  test("rejects unknown options with its usage and code 2", async () => {
    const unknown = startProgram("../scripts/demo.ts", { args: ["--runtime", "python"] });
    expect(await unknown.ended).toEqual({ code: 2, signal: null });
    expect(unknown.output).toMatch(/^Unknown runtime: python\. Choose node, bun, deno\.\n\nUsage: pnpm demo /);
    const misspelt = startProgram("../scripts/demo.ts", { args: ["--runtim", "bun"] });
    expect(await misspelt.ended).toEqual({ code: 2, signal: null });
    expect(misspelt.output).toMatch(/^Unknown option '--runtim'\n\nUsage: /);
    const help = startProgram("../scripts/demo.ts", { args: ["--help"] });
    expect(await help.ended).toEqual({ code: 0, signal: null });
    expect(help.output).toMatch(/^Usage: pnpm demo \[--runtime node\|bun\|deno \| --cluster\]\n/);
  });
});

function stepNumbers(output: string): number[] {
  const steps = output.split("\n").filter((line) => /^\d+\. /.test(line));
  return steps.map((line) => Number.parseInt(line, 10));
}
