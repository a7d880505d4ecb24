/**
 * `bun packages/bun/conformance/run.ts [report.json] [filter…]`: runs this package's tests, including the conformance
 * suites, inside the Bun that runs this script. Writes a report in vitest's format, by default reports/bun.json, and a
 * JUnit report beside it. Exit code 0: all passed.
 *
 * The tests are named `*.bun-test.ts`, so that other test runners ignore them. The packages' names mean their sources,
 * by the paths in tsconfig.json; `bun test` provides the imports from `vitest`.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { readJunit } from "./junit-report.ts";

const HERE = import.meta.dir;
const ROOT = resolve(HERE, "../../..");

const [report = join(ROOT, "reports", "bun.json"), ...filters] = process.argv.slice(2);
const files = readdirSync(HERE)
  .filter((file) => file.endsWith(".bun-test.ts"))
  .filter((file) => filters.length === 0 || filters.some((part) => file.includes(part)))
  .sort()
  // With "./" in front, `bun test` takes it for a path, and else for a filter.
  .map((file) => `./${relative(ROOT, join(HERE, file)).replaceAll("\\", "/")}`);
if (files.length === 0) throw new Error(`No test file has one of ${filters.join(", ")} in its name`);

const junit = `${resolve(report).replace(/\.json$/, "")}.junit.xml`;
mkdirSync(dirname(junit), { recursive: true });
rmSync(junit, { force: true });
const tests = Bun.spawn(
  [
    process.execPath,
    "test",
    // Some tests move megabytes, and Bun ignores the timeout of `describe`.
    "--timeout=60000",
    `--tsconfig-override=${join(HERE, "tsconfig.json")}`,
    "--reporter=junit",
    `--reporter-outfile=${junit}`,
    ...files,
  ],
  { cwd: ROOT, stdio: ["ignore", "inherit", "inherit"] },
);
const code = await tests.exited;
const counted = readJunit(existsSync(junit) ? readFileSync(junit, "utf8") : "");
// The run may fail although no test does, by a file that does not load, or a crash.
if (code !== 0 && counted.testResults.every(({ status }) => status === "passed")) {
  counted.testResults.push({ name: "bun test", status: "failed", assertionResults: [] });
}
writeFileSync(resolve(report), JSON.stringify(counted, null, 2));
process.exitCode = code;
