import { readdirSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { codeIn, ROOT, readText, tableRows } from "./lib/markdown.ts";
import { matchesOutput, type Program, programs, sourceOf } from "./lib/programs.ts";
import { runProgram } from "./lib/run-program.ts";
import { runTogether, type TogetherRun } from "./lib/run-together.ts";
import { ported, RUNTIMES, type RuntimeName } from "./lib/runtimes.ts";

const FILE = "RUNTIMES.md";
const all = programs();

function programUnder(heading: string): Program {
  const program = all.find(({ block, runs }) => block.file === FILE && block.heading === heading && runs);
  if (program === undefined) throw new Error(`${FILE} has no program under "${heading}"`);
  return program;
}

describe("the program of RUNTIMES.md", () => {
  const program = programUnder("One program");
  const source = sourceOf(program);
  const importLine = source.split("\n", 1)[0];

  test.each(RUNTIMES)("prints the same with the import line of %s", { timeout: 120_000 }, async (runtime) => {
    const permissions = ["--allow-net=127.0.0.1"];
    const { code, stdout, stderr } = await runProgram(ported(source, runtime), { runtime, permissions, check: true });
    expect({ code, stderr, stdout: stdout.trimEnd() }).toEqual({ code: 0, stderr: "", stdout: program.output });
  });

  test("begins with the import line that the table shows for each runtime", () => {
    const rows = tableRows(readText(FILE), "Node.js, Bun and Deno", "Import line");
    const shown = rows.map((row) => codeIn(row["Import line"] ?? ""));
    expect(shown).toEqual(RUNTIMES.map((runtime) => ported(`${importLine}`, runtime)));
  });

  test("runs on Deno with the permissions in the documentation", () => {
    expect(readText(FILE)).toContain("deno run --allow-net=127.0.0.1 first.ts\n");
  });
});

/** Whether a program uses an export that only one runtime's package has. */
function isForNodeAlone({ block }: Program): boolean {
  return block.code.includes("nodeRuntime");
}

/** RUNTIMES.md, "Unsupported options": a server on Deno doesn't start with this option. */
function isRefusedOnDeno({ block }: Program): boolean {
  return block.code.includes("requireClientCertificate");
}

/** RUNTIMES.md, "Differences": Deno doesn't report the TLS protocol. */
function shownOn(runtime: RuntimeName, { output }: Program): string {
  return runtime === "deno" ? (output ?? "").replace("protocol: 'TLSv1.3'", "protocol: null") : (output ?? "");
}

const portable = all.filter((one) => one.runs && one.runtime === "node" && !isForNodeAlone(one));

describe.each(["bun", "deno"] as const)("programs written for Node, on %s", (runtime) => {
  const fitting = portable.filter((one) => runtime !== "deno" || !isRefusedOnDeno(one));
  let run: TogetherRun;

  beforeAll(async () => {
    run = await runTogether(new Map(fitting.map((one) => [one.name, ported(sourceOf(one), runtime)])), runtime);
  }, 300_000);

  test.each(fitting)("the one at $name prints the shown output, with another import line", (program) => {
    const result = run.results.get(program.name);
    expect({ error: result?.error, stderr: run.stderr }).toEqual({ error: null, stderr: "" });
    const shown = shownOn(runtime, program);
    const stdout = result?.stdout ?? "";
    if (!matchesOutput(stdout, shown)) expect(stdout.trimEnd()).toBe(shown.trimEnd());
  });

  test("end by themselves", () => {
    const { code, signal, stderr } = run;
    expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: "" });
  });
});

test.each([
  ["Node.js", "node"],
  ["Bun", "bun"],
  ["Deno", "deno"],
])("RUNTIMES.md lists the APIs of %s that the sources use", (column, folder) => {
  const sources = readdirSync(join(ROOT, "packages", folder, "src"))
    .filter((file) => !/\.(test|d)\.ts$/.test(file))
    .map((file) => readText(`packages/${folder}/src/${file}`))
    .join("\n");
  const rows = tableRows(readText(FILE), "Runtime APIs used", column);
  const named = rows.flatMap((row) => [...(row[column] ?? "").matchAll(/`([^`]+)`/g)].map(([, name = ""]) => name));
  expect(named.length).toBeGreaterThanOrEqual(5);
  expect(named.filter((name) => !sources.includes(name))).toEqual([]);
});
