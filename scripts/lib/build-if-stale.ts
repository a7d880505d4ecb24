import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { type LibraryPackage, libraryPackages, ROOT } from "./packages.ts";
import { pnpm } from "./run.ts";

/** Returns the modification times of the files below `folder`, in milliseconds. */
function times(folder: string): number[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => statSync(join(entry.parentPath, entry.name)).mtimeMs);
}

function isBuilt({ directory }: LibraryPackage): boolean {
  const built = times(join(directory, "dist"));
  const newestSource = Math.max(
    ...times(join(directory, "src")),
    ...["package.json", "tsup.config.ts"].map((name) => statSync(join(directory, name)).mtimeMs),
  );
  return built.length > 0 && Math.min(...built) >= newestSource;
}

/**
 * Builds the packages if the build is older than the sources.
 * @throws Error with the build's output
 */
export async function buildIfStale(): Promise<void> {
  if (libraryPackages().every(isBuilt)) return;
  const build = await pnpm(["run", "build"], { cwd: ROOT });
  if (build.code !== 0) throw new Error(`The build failed.\n\n${build.output}`);
}
