import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The root of the repository. */
export const ROOT: string = fileURLToPath(new URL("../..", import.meta.url));

/** The fields of package.json that the scripts use. */
export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly private?: boolean;
  readonly type?: string;
  readonly license?: string;
  readonly sideEffects?: boolean;
  readonly engines?: Readonly<Record<string, string>>;
  readonly exports?: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  readonly dependencies?: Readonly<Record<string, string>>;
}

/** A published package of this repository. */
export interface LibraryPackage {
  readonly directory: string;
  readonly manifest: Manifest;
}

/** The published packages in packages/, sorted by name. */
export function libraryPackages(root: string = ROOT): LibraryPackage[] {
  const packages: LibraryPackage[] = [];
  for (const folder of readdirSync(join(root, "packages")).sort()) {
    const directory = join(root, "packages", folder);
    if (!existsSync(join(directory, "package.json"))) continue;
    const manifest = JSON.parse(readFileSync(join(directory, "package.json"), "utf8")) as Manifest;
    if (manifest.private !== true) packages.push({ directory, manifest });
  }
  return packages;
}

/** The import specifiers of a package: `@netconduit/core`, `@netconduit/core/adapter`. */
export function entryPoints({ manifest }: LibraryPackage): string[] {
  return Object.keys(manifest.exports ?? {})
    .filter((path) => path !== "./package.json")
    .map((path) => manifest.name + path.slice(1));
}

/** Problems with the manifests: rules that apply to every package here. */
export function manifestProblems(packages: readonly LibraryPackage[], root: string = ROOT): string[] {
  const problems: string[] = [];
  for (const { manifest } of packages) {
    const expected = { type: "module", license: "MIT", sideEffects: false } as const;
    for (const [key, value] of Object.entries(expected)) {
      const actual = manifest[key as keyof typeof expected];
      if (actual !== value)
        problems.push(`${manifest.name}: "${key}" is ${JSON.stringify(actual)}, not ${JSON.stringify(value)}`);
    }
    if (manifest.engines === undefined) problems.push(`${manifest.name}: "engines" is missing`);
    for (const [path, target] of Object.entries(manifest.exports ?? {})) {
      if (typeof target !== "string" && Object.keys(target)[0] !== "types") {
        problems.push(`${manifest.name}: "types" is not the first condition of "${path}" in "exports"`);
      }
    }
    for (const [name, range] of Object.entries(manifest.dependencies ?? {})) {
      if (packages.some((other) => other.manifest.name === name) && range !== "workspace:*") {
        problems.push(`${manifest.name}: depends on ${name} as "${range}", not "workspace:*"`);
      }
    }
  }
  const { fixed } = JSON.parse(readFileSync(join(root, ".changeset", "config.json"), "utf8")) as { fixed: string[][] };
  if (JSON.stringify(fixed) !== JSON.stringify([["@netconduit/*"]])) {
    problems.push(`.changeset/config.json: "fixed" is ${JSON.stringify(fixed)}, not [["@netconduit/*"]]`);
  }
  return problems;
}
