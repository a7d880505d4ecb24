import { stripVTControlCharacters } from "node:util";
import { describe, expect, test } from "vitest";
import { runProgram } from "./lib/run-program.ts";
import { RUNTIMES } from "./lib/runtimes.ts";

const THROWN = `new RpcError(ErrorCode.NOT_FOUND, "Not here", {
  cause: new ConduitError(ErrorCode.TIMEOUT, "Too late"),
})`;

/** A program that throws or prints an error. */
const program = (runtime: string, verb: string): string =>
  `import { ConduitError, ErrorCode, RpcError } from "@netconduit/${runtime}";\n${verb}(${THROWN});\n`;

describe.each(RUNTIMES)("on %s", { timeout: 60_000 }, (runtime) => {
  test.each([
    ["is thrown and not caught", "throw", false],
    ["is an unhandled rejection", "void Promise.reject", false],
    ["is printed", "console.error", true],
  ])("an error that %s is shown with the name of its code, and so is its cause", async (_what, verb, ends) => {
    const { code, stderr } = await runProgram(program(runtime, verb), { runtime });
    expect(code === 0).toBe(ends);
    const shown = stripVTControlCharacters(stderr);
    expect(shown).toContain("RpcError [NOT_FOUND]: Not here");
    expect(shown).toContain("ConduitError [TIMEOUT]: Too late");
    expect(shown).not.toContain("undefined");
  });
});
