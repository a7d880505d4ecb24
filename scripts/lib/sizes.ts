import { existsSync, readFileSync } from "node:fs";
import { builtinModules } from "node:module";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { readDeclarations } from "./declarations.ts";
import { type LibraryPackage, ROOT } from "./packages.ts";

/** Bytes that an import adds to a bundle, minified and gzipped. */
export interface EntrySize {
  /** Only this repository's code; a runtime's package includes the core. */
  readonly own: number;
  /** Including third-party packages, such as `@msgpack/msgpack` and `valibot`. */
  readonly withDependencies: number;
  /** Number of lines in the entry's declarations. Absent for a single name. */
  readonly declarationLines?: number;
}

/**
 * Sizes by import: a whole entry (`@netconduit/core/adapter`) or a single export (`@netconduit/core { ErrorCode }`).
 */
export type Sizes = Readonly<Record<string, EntrySize>>;

/** Allowed growth of an entry relative to the size measured by `pnpm sizes --update`. */
const ROOM = 1.03;

/** Returns the built file of an entry in a package's exports: its code or its declarations. */
function builtFile({ directory, manifest }: LibraryPackage, path: string, condition: "default" | "types"): string {
  const target = manifest.exports?.[path];
  const file = join(directory, typeof target === "string" ? target : (target?.[condition] ?? ""));
  if (!existsSync(file)) throw new Error(`${manifest.name} is not built: run "pnpm build" first`);
  return file;
}

/** Bundles a file, or a program that imports `name` from it. */
async function bundledBytes(file: string, name: string | null, external: readonly string[]): Promise<number> {
  const { outputFiles } = await build({
    ...(name === null
      ? { entryPoints: [file] }
      : { stdin: { contents: `export { ${name} } from ${JSON.stringify(file)};`, resolveDir: ROOT } }),
    // Ignore the packages' tsconfig files, whose paths lead to the sources.
    tsconfigRaw: "{}",
    bundle: true,
    minify: true,
    format: "esm",
    platform: "neutral",
    mainFields: ["module", "main"],
    target: "es2023",
    external: ["node:*", "bun:*", ...builtinModules, ...external],
    write: false,
    logLevel: "silent",
  });
  return gzipSync(outputFiles[0]!.contents, { level: 9 }).length;
}

/** Returns whether a built entry has an export: declared, listed, or by `export *` of another package. */
function exportsName(file: string, name: string): boolean {
  const statements = readFileSync(file, "utf8").match(/^export (?:\{[^}]*\}|\* from|\w+ \w+)/gm) ?? [];
  return statements.some((text) => text.startsWith("export *") || new RegExp(`\\b${name}\\b`).test(text));
}

/**
 * Bundles every entry of the packages from `dist/`.
 * @param names exports of each package's main entry to measure individually as well
 */
export async function measureSizes(packages: readonly LibraryPackage[], names: readonly string[] = []): Promise<Sizes> {
  const ours = new Set(packages.map(({ manifest }) => manifest.name));
  const dependencies = packages.flatMap(({ manifest }) => Object.keys(manifest.dependencies ?? {}));
  const foreign = [...new Set(dependencies)].filter((name) => !ours.has(name));
  const sizes: Record<string, EntrySize> = {};
  const measure = async (file: string, name: string | null): Promise<EntrySize> => ({
    own: await bundledBytes(file, name, foreign),
    withDependencies: await bundledBytes(file, name, []),
  });
  for (const library of packages) {
    const paths = Object.keys(library.manifest.exports ?? {}).filter((path) => path !== "./package.json");
    const declarations = paths.map((path) => builtFile(library, path, "types"));
    for (const [index, path] of paths.entries()) {
      const file = builtFile(library, path, "default");
      const title = library.manifest.name + path.slice(1);
      const declarationLines = readDeclarations(declarations[index]!, declarations).lines;
      sizes[title] = { ...(await measure(file, null)), declarationLines };
      if (path !== ".") continue;
      for (const name of names) {
        if (exportsName(file, name)) sizes[`${title} { ${name} }`] = await measure(file, name);
      }
    }
  }
  return sizes;
}

/** Limits slightly above the measured sizes: bytes rounded to hundreds, lines to tens. */
export function limitsFor(sizes: Sizes): Sizes {
  const limit = (size: number, unit: number): number => Math.ceil((size * ROOM) / unit) * unit;
  return Object.fromEntries(
    Object.entries(sizes).map(([entry, { own, withDependencies, declarationLines }]) => [
      entry,
      {
        own: limit(own, 100),
        withDependencies: limit(withDependencies, 100),
        ...(declarationLines === undefined ? {} : { declarationLines: limit(declarationLines, 10) }),
      },
    ]),
  );
}

/** The limited quantities and their units. */
const KINDS = { own: "bytes", withDependencies: "bytes", declarationLines: "lines" } as const;

/** Problems: entries above their limit, entries without a limit, and limits without an entry. */
export function sizeProblems(sizes: Sizes, limits: Sizes): string[] {
  const problems: string[] = [];
  for (const [entry, size] of Object.entries(sizes)) {
    const limit = limits[entry];
    if (limit === undefined) {
      problems.push(`${entry}: sizes.json has no limit for it`);
      continue;
    }
    for (const [kind, unit] of Object.entries(KINDS) as [keyof EntrySize, string][]) {
      const actual = size[kind] ?? 0;
      const most = limit[kind] ?? 0;
      if (actual > most)
        problems.push(`${entry}: ${actual} ${unit} (${kind}) exceed the limit of ${most} in sizes.json`);
    }
  }
  for (const entry of Object.keys(limits)) {
    if (sizes[entry] === undefined)
      problems.push(`${entry}: sizes.json has a limit for it, and there is no such entry`);
  }
  return problems;
}

/** Formats the sizes as a table, with limits in parentheses. */
export function formatSizes(sizes: Sizes, limits: Sizes): string {
  const rows = Object.entries(sizes).map(([entry, size]) => {
    const cell = (kind: keyof EntrySize): string =>
      (size[kind] === undefined ? "" : `${size[kind]} (${limits[entry]?.[kind] ?? "no limit"})`).padStart(18);
    return `${entry.padEnd(34)}${cell("own")}${cell("withDependencies")}${cell("declarationLines")}`.trimEnd();
  });
  const columns = ["own (limit)", "with deps (limit)", ".d.ts lines"].map((title) => title.padStart(18));
  const head = "bytes, minified + gzipped".padEnd(34) + columns.join("");
  return [head, ...rows].join("\n");
}
