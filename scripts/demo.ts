/** `pnpm demo`: builds what is out of date, without a word unless that fails, and runs examples/demo.ts. */
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { type LibraryPackage, libraryPackages, ROOT } from "./lib/packages.ts";
import { pnpm, run } from "./lib/run.ts";

/** Modification times of the files below `folder`, in milliseconds. */
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

async function main(): Promise<number> {
  if (!libraryPackages().every(isBuilt)) {
    const build = await pnpm(["run", "build"], { cwd: ROOT });
    if (build.code !== 0) {
      console.error(`The build failed.\n\n${build.output}`);
      return build.code;
    }
  }
  const demo = await run(process.execPath, [join("examples", "demo.ts")], { cwd: ROOT, output: "show" });
  return demo.code;
}

process.exitCode = await main();
