/** The runtimes that the documentation's programs run on, as this repository has them installed. */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

export const RUNTIMES = ["node", "bun", "deno"] as const;

export type RuntimeName = (typeof RUNTIMES)[number];

/** A runtime's own binary: not the script in `node_modules/.bin`, which would outlive a signal's victim. */
export function executable(runtime: RuntimeName): string {
  if (runtime === "node") return process.execPath;
  const folder = dirname(createRequire(import.meta.url).resolve(`${runtime}/package.json`));
  // npm's package of Bun has this name on every platform.
  if (runtime === "bun") return join(folder, "bin", "bun.exe");
  return join(folder, process.platform === "win32" ? "deno.exe" : "deno");
}

/** The runtime whose package a program imports; Node where it imports none. Throws if it imports several. */
export function runtimeOf(name: string, code: string): RuntimeName {
  const imported = RUNTIMES.filter((runtime) => code.includes(`"@netconduit/${runtime}"`));
  if (imported.length > 1) throw new Error(`${name} imports the packages of ${imported.join(" and ")}`);
  return imported[0] ?? "node";
}

/** A program for another runtime: nothing but the name it imports from is changed. */
export function ported(source: string, runtime: RuntimeName): string {
  return source.replaceAll(/ from "@netconduit\/(?:node|bun|deno)";/g, ` from "@netconduit/${runtime}";`);
}
