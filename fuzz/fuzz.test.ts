/**
 * The corpus, and inputs derived from it in a number of executions, break no rule. The fuzzer finds a planted fault.
 */
import { execFile } from "node:child_process";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, onTestFinished, test } from "vitest";
import { NODE_SOURCES } from "../docs-tests/lib/runtimes.ts";

const path = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

interface Run {
  readonly code: number;
  readonly output: string;
}

/** Runs `pnpm fuzz` with these arguments in a separate process, because this one's coverage may be measured as well. */
function fuzz(...args: readonly string[]): Promise<Run> {
  return new Promise((resolve) => {
    execFile(process.execPath, [...NODE_SOURCES, path("run.ts"), ...args], (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr });
    });
  });
}

describe("fuzzing", { concurrent: true, timeout: 300_000 }, () => {
  test.each([
    ["decoder", 20_000],
    ["login", 600],
    ["session", 600],
    ["streams", 400],
  ])("%s keeps to the rules in its corpus and %i executions", async (target, executions) => {
    // About a minute of CPU time in total. Findings stay in the corpus; CI discards its copy of the repository.
    const { code, output } = await fuzz(target, "--executions", String(executions));
    expect(output).toMatch(new RegExp(`${target}: \\d+ executions, \\d+ characters reached`));
    expect([code, output]).toEqual([0, expect.any(String)]);
  });

  test("finds a planted fault, leaves its input, and shows it again", async () => {
    const corpus = await mkdtemp(join(tmpdir(), "netconduit-fuzz-"));
    onTestFinished(() => rm(corpus, { recursive: true }));
    const { code, output } = await fuzz("planted", "--executions", "300000", "--corpus", corpus);
    expect([code, output]).toEqual([1, expect.stringContaining("the planted fault")]);
    const [file = ""] = await readdir(join(corpus, "planted"));
    expect(file).toMatch(/^crash-/);
    const again = await fuzz("planted", "--replay", join(corpus, "planted", file));
    expect([again.code, again.output]).toEqual([1, expect.stringContaining("the planted fault")]);
  });

  test("ends by a signal, keeps what it has found, and continues from there", async () => {
    const corpus = await mkdtemp(join(tmpdir(), "netconduit-fuzz-"));
    onTestFinished(() => rm(corpus, { recursive: true }));
    const args = ["decoder", "--executions", "100000000", "--save", "--corpus", corpus];
    const child = execFile(process.execPath, [...NODE_SOURCES, path("run.ts"), ...args]);
    const lines: string[] = [];
    child.stdout?.on("data", (text: string) => {
      if (lines.push(text) === 1) child.kill("SIGINT");
    });
    const code = await new Promise((resolve) => child.once("close", resolve));
    expect([code, lines.join("")]).toEqual([
      130,
      expect.stringMatching(/decoder: \d+ executions, \d+ characters reached/),
    ]);
    const kept = await readdir(join(corpus, "decoder"));
    expect(kept.length).toBeGreaterThan(10);
    const again = await fuzz("decoder", "--executions", "1", "--corpus", corpus);
    expect([again.code, again.output]).toEqual([0, expect.stringContaining("decoder: ")]);
  });
});
