/** Type-checks in-memory programs against the sources of the packages. */
import { join } from "node:path";
import ts from "typescript";
import { ROOT } from "./markdown.ts";

/** Compiler options of a strict project; `types` are the runtime's. */
const COMMON: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  lib: ["lib.es2023.d.ts", "lib.esnext.disposable.d.ts"],
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  noImplicitReturns: true,
  isolatedModules: true,
  verbatimModuleSyntax: true,
  erasableSyntaxOnly: true,
  allowImportingTsExtensions: true,
  skipLibCheck: true,
  noEmit: true,
  paths: {
    "@netconduit/core": [join(ROOT, "packages/core/src/index.ts")],
    "@netconduit/core/adapter": [join(ROOT, "packages/core/src/adapter.ts")],
    "@netconduit/core/testing": [join(ROOT, "packages/core/src/testing.ts")],
    "@netconduit/node": [join(ROOT, "packages/node/src/index.ts")],
    "@netconduit/nats": [join(ROOT, "packages/nats/src/index.ts")],
    "@netconduit/bun": [join(ROOT, "packages/bun/src/index.ts")],
  },
};

/**
 * Type-checks `sources`, texts by name, as one program, for a runtime whose types TypeScript's compiler can load.
 * @returns the problems of each source as `line: message`, from 1
 */
export function typeCheck(sources: ReadonlyMap<string, string>, runtime: "node" | "bun"): Map<string, string[]> {
  const settings: ts.CompilerOptions = { ...COMMON, types: [runtime] };
  const paths = new Map([...sources].map(([name, text], index) => [virtualPath(index), { name, text }]));
  const host = ts.createCompilerHost(settings);
  const { fileExists, readFile, getSourceFile } = host;
  host.getCurrentDirectory = () => ROOT;
  host.fileExists = (path) => paths.has(path) || fileExists.call(host, path);
  host.readFile = (path) => paths.get(path)?.text ?? readFile.call(host, path);
  host.getSourceFile = (path, options, ...rest) => {
    const text = paths.get(path)?.text;
    return text === undefined
      ? getSourceFile.call(host, path, options, ...rest)
      : ts.createSourceFile(path, text, options);
  };
  const program = ts.createProgram([...paths.keys()], settings, host);
  const found = new Map<string, string[]>();
  for (const [path, { name }] of paths) {
    const file = program.getSourceFile(path);
    if (file === undefined) throw new Error(`The compiler did not read ${name}`);
    const diagnostics = [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)];
    found.set(name, diagnostics.map(describe));
  }
  return found;
}

/** An unused file name within the repository, so that packages resolve. */
function virtualPath(index: number): string {
  return join(ROOT, "docs-tests", `in-memory-${index}.ts`).replaceAll("\\", "/");
}

function describe({ file, start, messageText }: ts.Diagnostic): string {
  const message = ts.flattenDiagnosticMessageText(messageText, "\n");
  if (file === undefined || start === undefined) return message;
  return `${file.getLineAndCharacterOfPosition(start).line + 1}: ${message}`;
}
