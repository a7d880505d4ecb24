import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const require = createRequire(import.meta.url);

/** Version of an installed package; throws when it is not installed. */
export function packageVersion(name: string): string {
  // A package need not export its package.json, so it is looked for above the package's main file.
  for (const folder of require.resolve.paths(name) ?? []) {
    try {
      return (JSON.parse(readFileSync(join(folder, name, "package.json"), "utf8")) as { version: string }).version;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT" && (error as NodeJS.ErrnoException).code !== "ENOTDIR") {
        throw error;
      }
    }
  }
  throw new Error(`${name} is not installed below ${dirname(import.meta.filename)}`);
}

/** Null when a package is installed, else a sentence that says it isn't. For `Peer.missing`. */
export function missingPackage(name: string): string | null {
  try {
    packageVersion(name);
    return null;
  } catch {
    return `the npm package ${name} is not installed`;
  }
}
