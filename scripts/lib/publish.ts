import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { pack } from "./pack.ts";
import { type LibraryPackage, libraryPackages, ROOT } from "./packages.ts";
import { run } from "./run.ts";

/** Environment variables of GitHub Actions; undefined elsewhere. */
export interface ReleaseEnvironment {
  readonly GITHUB_ACTIONS?: string | undefined;
  readonly GITHUB_SERVER_URL?: string | undefined;
  readonly GITHUB_REPOSITORY?: string | undefined;
  readonly GITHUB_REF_TYPE?: string | undefined;
  readonly GITHUB_REF_NAME?: string | undefined;
}

/** Sorts packages so that each comes after its dependencies. */
export function inDependencyOrder(packages: readonly LibraryPackage[]): LibraryPackage[] {
  const ordered: LibraryPackage[] = [];
  const add = (library: LibraryPackage): void => {
    if (ordered.includes(library)) return;
    for (const other of packages) {
      if (other.manifest.name in (library.manifest.dependencies ?? {})) add(other);
    }
    ordered.push(library);
  };
  packages.forEach(add);
  return ordered;
}

/** Reasons against releasing the packages' current version. */
export function releaseProblems(version: string, changelog: string, environment: ReleaseEnvironment): string[] {
  const problems: string[] = [];
  if (!changelog.includes(`\n## ${version} `)) {
    problems.push(`CHANGELOG.md has no section ${version}: run "pnpm version-packages" and commit what it wrote`);
  }
  const { GITHUB_REF_TYPE, GITHUB_REF_NAME } = environment;
  if (GITHUB_REF_TYPE === "tag" && GITHUB_REF_NAME !== `v${version}`) {
    problems.push(`the tag is ${GITHUB_REF_NAME}, and the packages' version ${version}`);
  }
  return problems;
}

/**
 * Unpacks a tarball of `pnpm pack` and adds `repository` to its package.json, against which registries check
 * provenance. Its value is only known on GitHub.
 */
async function stage(library: LibraryPackage, work: string, environment: ReleaseEnvironment): Promise<string> {
  const folder = join(work, "staged", library.manifest.name);
  mkdirSync(folder, { recursive: true });
  const { code, output } = await run("tar", ["-xzf", await pack(library, work), "--strip-components=1", "-C", folder]);
  if (code !== 0) throw new Error(`${library.manifest.name}: the tarball can't be unpacked\n${output}`);

  const { GITHUB_SERVER_URL: server, GITHUB_REPOSITORY: name } = environment;
  if (server !== undefined && name !== undefined) {
    const file = join(folder, "package.json");
    const manifest = JSON.parse(readFileSync(file, "utf8")) as object;
    const directory = relative(ROOT, library.directory).replaceAll("\\", "/");
    const repository = { type: "git", url: `git+${server}/${name}.git`, directory };
    writeFileSync(file, `${JSON.stringify({ repository, ...manifest }, null, 2)}\n`);
  }
  return folder;
}

async function isPublished({ manifest }: LibraryPackage): Promise<boolean> {
  const wanted = `${manifest.name}@${manifest.version}`;
  const { code, output } = await run("npm", ["view", wanted, "version"]);
  if (code === 0) return output.includes(manifest.version);
  if (/\bE404\b/.test(output)) return false;
  throw new Error(`npm view ${wanted} failed\n${output}`);
}

/**
 * Publishes the built packages to npm, dependencies first, and skips versions that are already published. Adds
 * provenance on GitHub Actions. Reports progress through `log`.
 * @throws Error with npm's output if a package is rejected; packages before it stay published
 */
export async function publishToNpm(
  work: string,
  environment: ReleaseEnvironment,
  log: (line: string) => void,
): Promise<void> {
  const provenance = environment.GITHUB_ACTIONS === "true" ? ["--provenance"] : [];
  for (const library of inDependencyOrder(libraryPackages())) {
    const wanted = `${library.manifest.name}@${library.manifest.version}`;
    if (await isPublished(library)) {
      log(`${wanted}: npm has it already`);
      continue;
    }
    const folder = await stage(library, work, environment);
    const { code, output } = await run("npm", ["publish", folder, "--access", "public", ...provenance], { cwd: work });
    if (code !== 0) throw new Error(`npm publish of ${wanted} failed\n${output}`);
    log(`${wanted}: published`);
  }
}
