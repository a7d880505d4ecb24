/**
 * `pnpm version-packages`: creates a new version from the changesets. It sets the version in every package and moves
 * the changesets and the section "Unreleased" into a section of CHANGELOG.md. Without changesets, and if the changelog
 * doesn't have the packages' version yet (the very first release), it keeps that version.
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseChange, releaseChangelog } from "./lib/changelog.ts";
import { libraryPackages, ROOT } from "./lib/packages.ts";
import { pnpm } from "./lib/run.ts";

const CHANGESETS = join(ROOT, ".changeset");
const CHANGELOG = join(ROOT, "CHANGELOG.md");

async function must(...args: string[]): Promise<void> {
  const { code, output } = await pnpm(args, { cwd: ROOT });
  if (code !== 0) throw new Error(`pnpm ${args.join(" ")} failed\n${output}`);
}

/** JSR reads the version from deno.json, which changesets doesn't update. */
function setDenoVersion(file: string, version: string): void {
  if (!existsSync(file)) return;
  const text = readFileSync(file, "utf8");
  writeFileSync(file, text.replace(/"version": "[^"]*"/, `"version": "${version}"`));
}

async function main(): Promise<void> {
  const changes = readdirSync(CHANGESETS)
    .filter((file) => file.endsWith(".md") && file !== "README.md")
    .sort()
    .map((file) => parseChange(readFileSync(join(CHANGESETS, file), "utf8")));
  if (changes.length > 0) await must("exec", "changeset", "version");

  for (const { directory, manifest } of libraryPackages())
    setDenoVersion(join(directory, "deno.json"), manifest.version);

  const version = libraryPackages()[0]?.manifest.version ?? "";
  const changelog = readFileSync(CHANGELOG, "utf8");
  if (changelog.includes(`\n## ${version} `)) throw new Error(`Nothing to release: ${version} is in CHANGELOG.md`);
  writeFileSync(CHANGELOG, releaseChangelog(changelog, version, new Date().toISOString().slice(0, 10), changes));
  await must("run", "format");
  console.log(`${version}: updated the versions and CHANGELOG.md. Review and commit them.`);
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
