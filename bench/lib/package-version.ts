import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

const require = createRequire(import.meta.url);

/** Version of an installed package. @throws Error when it isn't installed */
export function packageVersion(name: string): string {
  // Not every package exports its package.json, so it is read from the folders that Node would search.
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

/** Null if a package is installed, else the reason for `Peer.missing`. */
export function missingPackage(name: string): string | null {
  try {
    packageVersion(name);
    return null;
  } catch {
    return `the npm package ${name} is not installed`;
  }
}
