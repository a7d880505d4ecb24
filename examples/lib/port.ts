/** Copies the examples for another runtime, with only the import line changed. */

import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { type RuntimeName, thisRuntime } from "./runtimes.ts";

/** The folder of the examples. */
export const EXAMPLES: string = fileURLToPath(new URL("..", import.meta.url));
/** Folders to copy. */
const FOLDERS = ["complete", "chat", "game", "monitoring", "files", "many-nodes", "lib"];

/** Replaces the package in a program's import line with that of `runtime`. */
export function portSource(source: string, runtime: RuntimeName): string {
  return source.replaceAll('from "@netconduit/node"', `from "@netconduit/${runtime}"`);
}

/**
 * Returns the folder with the examples for `runtime`. For the current runtime, that is the original folder. For others it
 * updates copies in `examples/.ported/`, where imports resolve to the same packages.
 */
export function examplesFor(runtime: RuntimeName): string {
  if (runtime === thisRuntime()) return EXAMPLES;
  const folder = join(EXAMPLES, ".ported", runtime);
  for (const file of sources()) {
    const copy = join(folder, relative(EXAMPLES, file));
    const text = portSource(readFileSync(file, "utf8"), runtime);
    if (existsSync(copy) && readFileSync(copy, "utf8") === text) continue;
    mkdirSync(dirname(copy), { recursive: true });
    // Rename into place: another process may be about to run the file.
    const fresh = `${copy}.${randomUUID()}`;
    writeFileSync(fresh, text);
    renameSync(fresh, copy);
  }
  return folder;
}

function sources(): string[] {
  const inFolders = FOLDERS.flatMap((name) =>
    readdirSync(join(EXAMPLES, name)).map((file) => join(EXAMPLES, name, file)),
  );
  return [join(EXAMPLES, "demo.ts"), ...inFolders].filter((file) => file.endsWith(".ts"));
}
