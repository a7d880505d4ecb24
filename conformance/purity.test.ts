import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { describe, expect, test } from "vitest";

const core = fileURLToPath(new URL("../packages/core/", import.meta.url));

/** Returns the compiler's errors for a file with `source` in the core, with the core's settings. */
function problemsOf(source: string): string[] {
  const path = join(core, "tsconfig.json");
  const { config } = ts.readConfigFile(path, ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, dirname(path));
  const file = join(core, "src/purity-probe.ts");
  const globals = join(core, "src/globals.d.ts");
  const probing = { ...options, noEmit: true, composite: false, incremental: false, emitDeclarationOnly: false };
  const host = ts.createCompilerHost(probing);
  const { fileExists, readFile, getSourceFile } = host;
  host.fileExists = (name) => name === file || fileExists(name);
  host.readFile = (name) => (name === file ? source : readFile(name));
  host.getSourceFile = (name, ...rest) =>
    name === file ? ts.createSourceFile(name, source, ts.ScriptTarget.ES2023) : getSourceFile(name, ...rest);
  const program = ts.createProgram([file, globals], probing, host);
  return ts
    .getPreEmitDiagnostics(program, program.getSourceFile(file))
    .map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, "\n"));
}

describe("core knows no runtime", { timeout: 60_000 }, () => {
  test.each([
    ["a node: import", 'import { connect } from "node:net";\nexport const probe: unknown = connect;\n', /node:net/],
    ["Bun", "export const probe: unknown = Bun.version;\n", /'Bun'/],
    ["process", "export const probe: unknown = process.pid;\n", /'process'/],
    ["Buffer", "export const probe: unknown = Buffer.alloc(1);\n", /'Buffer'/],
    ["Deno", "export const probe: unknown = Deno.pid;\n", /'Deno'/],
    ["setTimeout", "export const probe: unknown = setTimeout;\n", /'setTimeout'/],
  ])("%s in its sources does not compile", (_what, source, problem) => {
    expect(problemsOf(source)).toEqual([expect.stringMatching(problem)]);
  });

  test("a file that uses none of that compiles", () => {
    expect(problemsOf("export const probe: AbortController = new AbortController();\n")).toEqual([]);
  });
});
