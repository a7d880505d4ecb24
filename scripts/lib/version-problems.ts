import { existsSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { type LibraryPackage, libraryPackages, ROOT } from "./packages.ts";

/** The fields of deno.json used here. */
interface DenoManifest {
  readonly name?: string;
  readonly version?: string;
  readonly license?: string;
  readonly exports?: string | Readonly<Record<string, string>>;
  readonly imports?: Readonly<Record<string, string>>;
  readonly workspace?: readonly string[];
}

/** The packages that are also published to JSR, from their sources. */
const ON_JSR = ["@netconduit/core", "@netconduit/deno", "@netconduit/nats"];

function readDeno(folder: string): DenoManifest | null {
  const file = join(folder, "deno.json");
  return existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as DenoManifest) : null;
}

/** Differences between a package's deno.json and its package.json. */
function denoProblems({ directory, manifest }: LibraryPackage, names: readonly string[]): string[] {
  const { name } = manifest;
  const deno = readDeno(directory);
  if (deno === null) return ON_JSR.includes(name) ? [`${name}: has no deno.json, and JSR is to have it`] : [];

  const problems: string[] = [];
  for (const key of ["name", "version", "license"] as const) {
    if (deno[key] === manifest[key]) continue;
    problems.push(`${name}: deno.json says ${key} ${deno[key]}, package.json ${manifest[key]}`);
  }
  const entries = typeof deno.exports === "string" ? ["."] : Object.keys(deno.exports ?? {});
  const packaged = Object.keys(manifest.exports ?? {}).filter((path) => path !== "./package.json");
  if (entries.sort().join() !== packaged.sort().join()) {
    problems.push(`${name}: deno.json exports ${entries.join(", ")}, package.json ${packaged.join(", ")}`);
  }
  // Our own packages are workspace members; Deno inserts their versions on publishing.
  const ranges = Object.entries(manifest.dependencies ?? {}).filter(([dependency]) => !names.includes(dependency));
  const expected = Object.fromEntries(ranges.map(([dependency, range]) => [dependency, `npm:${dependency}@${range}`]));
  const actual = deno.imports ?? {};
  for (const key of new Set([...Object.keys(expected), ...Object.keys(actual)])) {
    if (actual[key] === expected[key]) continue;
    problems.push(`${name}: deno.json imports ${key} as ${actual[key]}, by package.json it is ${expected[key]}`);
  }
  return problems;
}

/**
 * Conflicting versions in the repository: of the packages themselves (package.json, deno.json, the changelog) and of
 * their dependencies.
 */
export function versionProblems(root: string = ROOT): string[] {
  const packages = libraryPackages(root);
  const names = packages.map(({ manifest }) => manifest.name);
  const problems: string[] = [];

  const versions = new Set(packages.map(({ manifest }) => manifest.version));
  if (versions.size > 1) {
    const list = packages.map(({ manifest }) => `${manifest.name} ${manifest.version}`).join(", ");
    problems.push(`versions differ, and all packages are released together: ${list}`);
  }
  const released = /^## (\d\S*)/m.exec(readFileSync(join(root, "CHANGELOG.md"), "utf8"))?.[1];
  if (released !== undefined && !versions.has(released)) {
    problems.push(`CHANGELOG.md: the newest release is ${released}, the packages are ${[...versions].join(", ")}`);
  }
  for (const library of packages) problems.push(...denoProblems(library, names));

  const members = packages
    .filter(({ directory }) => readDeno(directory) !== null)
    .map(({ directory }) => `./${relative(root, directory).replaceAll("\\", "/")}`);
  const workspace = readDeno(root)?.workspace ?? [];
  if ([...workspace].sort().join() !== members.sort().join()) {
    problems.push(
      `deno.json: "workspace" is ${workspace.join(", ")}, packages with a deno.json: ${members.join(", ")}`,
    );
  }
  return problems;
}
