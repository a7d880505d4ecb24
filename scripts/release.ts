/**
 * `pnpm release`: publishes the packages to npm, as the release workflow does after all checks. Run it after `pnpm
 * build`. Skips versions that are already published.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { libraryPackages, ROOT } from "./lib/packages.ts";
import { publishToNpm, releaseProblems } from "./lib/publish.ts";
import { versionProblems } from "./lib/version-problems.ts";

const version = libraryPackages()[0]?.manifest.version ?? "";
const changelog = readFileSync(join(ROOT, "CHANGELOG.md"), "utf8");
const problems = [...versionProblems(), ...releaseProblems(version, changelog, process.env)];
if (problems.length > 0) {
  console.error(problems.join("\n"));
  process.exitCode = 1;
} else {
  const work = mkdtempSync(join(tmpdir(), "netconduit-release-"));
  try {
    await publishToNpm(work, process.env, console.log);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
