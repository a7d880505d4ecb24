/**
 * `pnpm test`: runs all checks and tests, cheapest first.
 *
 * Each step is a command that can be rerun individually. No tests run after a failed check. The last line always
 * shows the counts from the JSON reports in reports/.
 */
import { randomUUID } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { addCounts, type Counts, countReport, formatCounts, NO_TESTS, type VitestReport } from "./lib/counts.ts";
import { leftOverProcesses, RUN_VARIABLE } from "./lib/left-over.ts";
import { ROOT } from "./lib/packages.ts";
import { formatDuration, pnpm } from "./lib/run.ts";

const REPORTS = join(ROOT, "reports");

/** Checks before the tests, run in parallel after the build. Their output is only shown on failure. */
const CHECKS = ["lint", "typecheck", "check-packages", "sizes"] as const;

/** Run in parallel with the tests on Node.js, because all of them often wait; each also writes a report to reports/. */
const BESIDE = [
  { name: "soak", command: ["run", "soak", "--minutes", "3", "--report", join(REPORTS, "soak.json")] },
  { name: "tests on Bun", command: ["exec", "bun", "packages/bun/conformance/run.ts"] },
  {
    name: "tests on Deno",
    command: ["exec", "deno", "run", "-A", "--no-check", "packages/deno/conformance/run.ts"],
  },
] as const;

function readCounts(): Counts {
  let counts = NO_TESTS;
  for (const file of readdirSync(REPORTS).sort()) {
    if (!file.endsWith(".json")) continue;
    counts = addCounts(counts, countReport(JSON.parse(readFileSync(join(REPORTS, file), "utf8")) as VitestReport));
  }
  return counts;
}

function finish(counts: Counts, ok: boolean): void {
  console.log(formatCounts(counts));
  process.exitCode = ok && counts.failed === 0 ? 0 : 1;
}

/** Runs a command whose output is shown only if it fails. Returns whether it succeeded. */
async function step(name: string, command: readonly string[]): Promise<boolean> {
  const { code, output, durationMs } = await pnpm(command, { cwd: ROOT });
  console.log(`${name.padEnd(16)}${code === 0 ? "ok" : "FAILED"}  ${formatDuration(durationMs)}`);
  if (code !== 0) console.log(`\n${output.trimEnd()}\n`);
  return code === 0;
}

/** Runs tests of vitest's projects, shows their output, and writes a report to reports/. Returns whether they passed. */
async function vitest(name: string, ...options: readonly string[]): Promise<boolean> {
  const reports = ["--reporter=default", "--reporter=json", `--outputFile.json=${join(REPORTS, `${name}.json`)}`];
  const { code, durationMs } = await pnpm(["exec", "vitest", "run", ...options, ...reports], {
    cwd: ROOT,
    output: "show",
  });
  console.log(`${`${name} tests`.padEnd(16)}${code === 0 ? "ok" : "FAILED"}  ${formatDuration(durationMs)}`);
  return code === 0;
}

async function check(...names: readonly string[]): Promise<boolean> {
  const results = await Promise.all(names.map((name) => step(name, ["run", name])));
  return results.every((isOk) => isOk);
}

async function main(): Promise<void> {
  rmSync(REPORTS, { recursive: true, force: true });
  mkdirSync(REPORTS);
  const id = randomUUID();
  process.env[RUN_VARIABLE] = id;

  if (!(await check("build")) || !(await check(...CHECKS))) {
    console.log("A check failed, so no tests ran.");
    return finish({ ...NO_TESTS, failed: 1 }, false);
  }

  const beside = BESIDE.map(({ name, command }) => step(name, command));
  let ok = await vitest("unit", "--project=unit", "--project=conformance", "--coverage");
  ok = (await vitest("programs", "--project=light", "--project=programs")) && ok;
  for (const isOk of await Promise.all(beside)) ok &&= isOk;

  for (const { pid, command } of await leftOverProcesses(id)) {
    console.log(`The tests left a process behind: ${pid} ${command}`);
    ok = false;
  }

  const counts = readCounts();
  if (ok || counts.failed > 0) return finish(counts, ok);
  console.log("No test failed, but the run did (see above); counted as one failed test.");
  finish({ ...counts, failed: 1 }, false);
}

await main();
