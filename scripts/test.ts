/**
 * `pnpm test`: runs all checks and tests, cheapest first.
 *
 * Each step is a script in package.json, so that a failed one can be rerun by name. The first failed step ends the run.
 * The last line always shows the counts from the JSON reports in reports/.
 */
import { randomUUID } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { addCounts, type Counts, countReport, formatCounts, NO_TESTS, type VitestReport } from "./lib/counts.ts";
import { leftOverProcesses, RUN_VARIABLE } from "./lib/left-over.ts";
import { ROOT } from "./lib/packages.ts";
import { formatDuration, pnpm } from "./lib/run.ts";

const REPORTS = join(ROOT, "reports");

/** Steps before the tests. Their output is shown if they fail. */
const CHECKS = ["build", "lint", "typecheck", "check-packages", "sizes"] as const;

/** The conformance suites on the other runtimes, side by side; each writes a report to reports/ too. */
const RUNTIME_SUITES = [
  { name: "tests on Bun", command: ["bun", "packages/bun/conformance/run.ts"] },
  { name: "tests on Deno", command: ["deno", "run", "-A", "--no-check", "packages/deno/conformance/run.ts"] },
] as const;

/** Runs beside the others, since it mostly waits; it writes a report to reports/ too. */
const SOAK = ["run", "soak", "--minutes", "3", "--report", join(REPORTS, "soak.json")] as const;

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

async function check(name: string): Promise<boolean> {
  const { code, output, durationMs } = await pnpm(["run", name], { cwd: ROOT });
  console.log(`${name.padEnd(16)}${code === 0 ? "ok" : "FAILED"}  ${formatDuration(durationMs)}`);
  if (code !== 0) console.log(`\n${output.trimEnd()}\n\nThe step "${name}" failed, so no tests ran.`);
  return code === 0;
}

async function main(): Promise<void> {
  rmSync(REPORTS, { recursive: true, force: true });
  mkdirSync(REPORTS);
  const id = randomUUID();
  process.env[RUN_VARIABLE] = id;

  for (const name of CHECKS) {
    if (!(await check(name))) return finish({ ...NO_TESTS, failed: 1 }, false);
  }

  const soak = pnpm(SOAK, { cwd: ROOT });
  const report = join(REPORTS, "vitest.json");
  const { code, durationMs } = await pnpm(
    ["exec", "vitest", "run", "--coverage", "--reporter=default", "--reporter=json", `--outputFile.json=${report}`],
    { cwd: ROOT, output: "show" },
  );
  console.log(`${"tests".padEnd(16)}${code === 0 ? "ok" : "FAILED"}  ${formatDuration(durationMs)}`);

  let ok = code === 0;
  const suites = RUNTIME_SUITES.map(async ({ name, command }) => {
    const run = await pnpm(["exec", ...command], { cwd: ROOT });
    console.log(`${name.padEnd(16)}${run.code === 0 ? "ok" : "FAILED"}  ${formatDuration(run.durationMs)}`);
    if (run.code !== 0) console.log(`\n${run.output.trimEnd()}\n`);
    return run.code === 0;
  });
  for (const isOk of await Promise.all(suites)) ok &&= isOk;

  const soaked = await soak;
  console.log(`${"soak".padEnd(16)}${soaked.code === 0 ? "ok" : "FAILED"}  ${formatDuration(soaked.durationMs)}`);
  if (soaked.code !== 0) console.log(`\n${soaked.output.trimEnd()}\n`);
  ok &&= soaked.code === 0;

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
