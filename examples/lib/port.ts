/** The examples as they are on another runtime: the import line is changed, and nothing else. */

import { randomUUID } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { type RuntimeName, thisRuntime } from "./runtimes.ts";

/** The folder of the examples that this file belongs to. */
export const EXAMPLES: string = fileURLToPath(new URL("..", import.meta.url));
/** The folders with programs and what they import. */
const FOLDERS = ["complete", "chat", "game", "monitoring", "lib"];

/** A program's source with the package of `runtime` in its import line. */
export function portSource(source: string, runtime: RuntimeName): string {
  return source.replaceAll('from "@netconduit/node"', `from "@netconduit/${runtime}"`);
}

/**
 * The folder with the examples for `runtime`. For the runtime that executes this it is the one that this file is in; for
 * another one, its copies are brought up to date in `examples/.ported/`, from where they find the same packages.
 */
export function examplesFor(runtime: RuntimeName): string {
  if (runtime === thisRuntime()) return EXAMPLES;
  const folder = join(EXAMPLES, ".ported", runtime);
  for (const file of sources()) {
    const copy = join(folder, relative(EXAMPLES, file));
    const text = portSource(readFileSync(file, "utf8"), runtime);
    if (existsSync(copy) && readFileSync(copy, "utf8") === text) continue;
    mkdirSync(dirname(copy), { recursive: true });
    // Never half written: another process may be about to run it.
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
