import { afterEach, describe, expect, test } from "vitest";
import { RUNTIMES } from "../../docs-tests/lib/runtimes.ts";
import { RunningProgram } from "./run-program.ts";

let program: RunningProgram | null = null;
afterEach(() => program?.kill());

describe.each(RUNTIMES)("on %s", (runtime) => {
  test("a process ends by itself while its server and its client are connected, after unref()", async () => {
    program = new RunningProgram(runtime, ["unref"]);
    expect(await program.output).toEqual([true]);
  });

  test("ref() keeps it running again", async () => {
    program = new RunningProgram(runtime, ["unref", "again"]);
    expect(await program.output).toEqual([true, "still running"]);
  });

  test("a process ends by itself while its client waits to reconnect, after unref()", async () => {
    program = new RunningProgram(runtime, ["unrefReconnecting"]);
    expect(await program.output).toEqual(["closed"]);
  });

  test("a process waits for its client and its server to close, also after unref()", async () => {
    program = new RunningProgram(runtime, ["unrefClosing"]);
    expect(await program.output).toEqual([[["words"], "closed", "stopped"]]);
  });
});
