/** The runtimes for the documentation's programs, as installed in this repository. */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

export const RUNTIMES = ["node", "bun", "deno"] as const;

export type RuntimeName = (typeof RUNTIMES)[number];

/** Path of a runtime's binary. The script in `node_modules/.bin` wouldn't forward signals. */
export function executable(runtime: RuntimeName): string {
  if (runtime === "node") return process.execPath;
  const folder = dirname(createRequire(import.meta.url).resolve(`${runtime}/package.json`));
  // Bun's npm package uses this name on every platform.
  if (runtime === "bun") return join(folder, "bin", "bun.exe");
  return join(folder, process.platform === "win32" ? "deno.exe" : "deno");
}

/** The runtime whose package a program imports; Node by default. Throws if it imports several. */
export function runtimeOf(name: string, code: string): RuntimeName {
  const imported = RUNTIMES.filter((runtime) => code.includes(`"@netconduit/${runtime}"`));
  if (imported.length > 1) throw new Error(`${name} imports the packages of ${imported.join(" and ")}`);
  return imported[0] ?? "node";
}

/** Ports a program to another runtime by changing the imported package name. */
export function ported(source: string, runtime: RuntimeName): string {
  return source.replaceAll(/ from "@netconduit\/(?:node|bun|deno)";/g, ` from "@netconduit/${runtime}";`);
}
