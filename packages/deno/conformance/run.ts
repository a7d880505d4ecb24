/**
 * `deno run -A packages/deno/conformance/run.ts [report.json] [filter…]`: runs this package's tests, including the
 * conformance suites, inside the Deno that runs this script. Writes vitest's JSON report, by default reports/deno.json.
 * Exit code 0: all passed.
 *
 * vitest runs in Deno, and the test files in child processes, because Deno's worker threads lack features that vitest
 * uses. The tests are named `*.deno-test.ts`, so that other test runners ignore them.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { resolve } from "node:path";
import process from "node:process";
import { fileURLToPath } from "node:url";

const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
const ROOT = resolve(PACKAGE, "../..");

const [report = resolve(ROOT, "reports", "deno.json"), ...filters] = process.argv.slice(2);
rmSync(report, { force: true });
const tests = spawn(
  process.execPath,
  [
    ...["run", "--allow-all", "--no-check", resolve(ROOT, "node_modules/vitest/vitest.mjs")],
    ...["run", "--config", resolve(PACKAGE, "vitest.config.ts")],
    ...["--reporter=default", "--reporter=json", `--outputFile.json=${resolve(report)}`],
    ...filters,
  ],
  { cwd: PACKAGE, stdio: ["ignore", "inherit", "inherit"] },
);
const [code] = await once(tests, "exit");
process.exitCode = code ?? 1;
