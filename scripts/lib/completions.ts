/** Gets an editor's completions from TypeScript's language service, for in-memory programs. */
import { join } from "node:path";
import ts from "typescript";
import { ROOT } from "./packages.ts";

const SETTINGS: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  lib: ["lib.es2023.d.ts", "lib.esnext.disposable.d.ts"],
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  types: ["node"],
  strict: true,
  skipLibCheck: true,
  allowImportingTsExtensions: true,
  noEmit: true,
  paths: {
    "@netconduit/core": [join(ROOT, "packages/core/src/index.ts")],
    "@netconduit/core/adapter": [join(ROOT, "packages/core/src/adapter.ts")],
    "@netconduit/core/testing": [join(ROOT, "packages/core/src/testing.ts")],
    "@netconduit/node": [join(ROOT, "packages/node/src/index.ts")],
  },
};

/** Marks a position in the main file at which to request completions. */
export const CURSOR = "‸";

/** A program: the file with the cursors, and `./contract.ts` beside it. */
export interface CompletionProgram {
  readonly main: string;
  readonly contract: string;
}

/** The completions at one cursor. */
export interface Completions {
  readonly names: readonly string[];
  /** CPU time in milliseconds, which other processes don't affect. */
  readonly cpuMs: number;
  /** Number of type instantiations since the program was loaded; deterministic. */
  readonly instantiations: number;
}

/** Shares parsed libraries and sources between programs. */
const registry = ts.createDocumentRegistry();

/** Returns the completions at each cursor, in order. The first one uses a cold checker. */
export function completionsAt({ main, contract }: CompletionProgram): Completions[] {
  // Within the repository, so that packages resolve.
  const mainPath = join(ROOT, "scripts/in-memory/main.ts");
  const contractPath = join(ROOT, "scripts/in-memory/contract.ts");
  const parts = main.split(CURSOR);
  const files = new Map([
    [mainPath, parts.join("")],
    [contractPath, contract],
  ]);
  const service = ts.createLanguageService(serviceHost(files), registry);
  // An editor has already parsed and bound the files.
  const program = service.getProgram();
  const answers: Completions[] = [];
  let position = 0;
  for (const part of parts.slice(0, -1)) {
    position += part.length;
    const start = process.cpuUsage();
    const found = service.getCompletionsAtPosition(mainPath, position, {});
    const { user, system } = process.cpuUsage(start);
    answers.push({
      names: found?.entries.map(({ name }) => name) ?? [],
      cpuMs: (user + system) / 1000,
      instantiations: program?.getInstantiationCount() ?? 0,
    });
  }
  service.dispose();
  return answers;
}

function serviceHost(files: ReadonlyMap<string, string>): ts.LanguageServiceHost {
  const readFile = (path: string): string | undefined => files.get(path) ?? ts.sys.readFile(path);
  return {
    getCompilationSettings: () => SETTINGS,
    getCurrentDirectory: () => ROOT,
    getDefaultLibFileName: ts.getDefaultLibFilePath,
    getScriptFileNames: () => [...files.keys()],
    getScriptVersion: (path) => files.get(path) ?? "1",
    getScriptSnapshot(path) {
      const text = readFile(path);
      return text === undefined ? undefined : ts.ScriptSnapshot.fromString(text);
    },
    fileExists: (path) => files.has(path) || ts.sys.fileExists(path),
    readFile,
    directoryExists: (path) => ts.sys.directoryExists(path) || path.endsWith("scripts/in-memory"),
    getDirectories: ts.sys.getDirectories,
  };
}
