import { readdirSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import ts from "typescript";

/** Rooms of the core that are internal, except for exports of an entry. */
export const INTERNAL_ROOMS: readonly string[] = [
  "auth",
  "bytes",
  "connection",
  "context",
  "extensions",
  "netconduit",
  "sockets",
  "util",
  "wire",
];

/** The declarations of a package's entry: its `.d.ts` file, and files shared with other entries. */
export interface Declarations {
  /** Names at the top level of these files, exported or not. */
  readonly declared: ReadonlySet<string>;
  /** The classes among them. */
  readonly classes: ReadonlySet<string>;
  /** Names that the entry exports, except for those it re-exports from another package by `export *`. */
  readonly exported: ReadonlySet<string>;
  readonly lines: number;
}

/** Suffix with which the bundler distinguishes declarations of the same name. */
const BUNDLER_SUFFIX = /\$\d+$/;

function parse(file: string): ts.SourceFile {
  return ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.Latest);
}

/** Returns the names in a file of declarations that have a suffix of the bundler, sorted. */
export function renamedDeclarations(file: string): string[] {
  const names = readFileSync(file, "utf8").match(/\b\w+\$\d+\b/g);
  return [...new Set(names)].sort();
}

/** Returns the names declared at the top level of a file. */
function topLevelNames(source: ts.SourceFile): string[] {
  const names: string[] = [];
  for (const statement of source.statements) {
    if (ts.isVariableStatement(statement)) {
      for (const { name } of statement.declarationList.declarations) names.push(name.getText(source));
    } else if (
      ts.isClassDeclaration(statement) ||
      ts.isInterfaceDeclaration(statement) ||
      ts.isTypeAliasDeclaration(statement) ||
      ts.isFunctionDeclaration(statement)
    ) {
      if (statement.name !== undefined) names.push(statement.name.text);
    }
  }
  return names.map((name) => name.replace(BUNDLER_SUFFIX, ""));
}

/** Returns the exported names in a file's export lists, after `as` if present. */
function exportedNames(source: ts.SourceFile): string[] {
  return source.statements.flatMap((statement) =>
    ts.isExportDeclaration(statement) &&
    statement.exportClause !== undefined &&
    ts.isNamedExports(statement.exportClause)
      ? statement.exportClause.elements.map(({ name }) => name.text)
      : [],
  );
}

/** Returns the sibling files that a file imports or re-exports from. */
function neighbours(source: ts.SourceFile): string[] {
  return source.statements.flatMap((statement) => {
    if (!ts.isImportDeclaration(statement) && !ts.isExportDeclaration(statement)) return [];
    const specifier = statement.moduleSpecifier;
    if (specifier === undefined || !ts.isStringLiteral(specifier) || !specifier.text.startsWith(".")) return [];
    return [join(dirname(source.fileName), specifier.text.replace(/\.js$/, ".d.ts"))];
  });
}

/**
 * Reads the declarations of an entry from its `.d.ts` file.
 * @param others the `.d.ts` files of the package's other entries, which are excluded
 */
export function readDeclarations(entry: string, others: readonly string[] = []): Declarations {
  const files = new Set([entry]);
  const declared = new Set<string>();
  const classes = new Set<string>();
  const exported = new Set(exportedNames(parse(entry)));
  let lines = 0;
  for (const file of files) {
    const source = parse(file);
    for (const name of topLevelNames(source)) declared.add(name);
    for (const statement of source.statements) {
      if (ts.isClassDeclaration(statement) && statement.name !== undefined)
        classes.add(statement.name.text.replace(BUNDLER_SUFFIX, ""));
    }
    for (const neighbour of neighbours(source)) if (!others.includes(neighbour)) files.add(neighbour);
    lines += source.text.trimEnd().split("\n").length;
  }
  return { declared, classes, exported, lines };
}

/** Returns the names that the core's sources declare in internal rooms. */
function internalNames(sources: string): Set<string> {
  const names = new Set<string>();
  for (const room of INTERNAL_ROOMS) {
    for (const file of readdirSync(join(sources, room), { recursive: true, encoding: "utf8" })) {
      if (!file.endsWith(".ts") || /\.(test|test-d)\.ts$/.test(file)) continue;
      for (const name of topLevelNames(parse(join(sources, room, file)))) names.add(name);
    }
  }
  return names;
}

/**
 * Returns the internal names exposed by the declarations of the core's main entry, sorted: any name of {@link
 * INTERNAL_ROOMS}, and classes of other rooms.
 * @param sources the core's `src`
 * @param main the main entry's declarations
 * @param all the declarations of all entries; names exported by any of them aren't internal
 */
export function exposedInsides(sources: string, main: Declarations, all: readonly Declarations[]): string[] {
  const internal = internalNames(sources);
  const isExported = (name: string): boolean => all.some(({ exported }) => exported.has(name));
  const isInside = (name: string): boolean => internal.has(name) || main.classes.has(name);
  return [...main.declared].filter((name) => isInside(name) && !isExported(name)).sort();
}
