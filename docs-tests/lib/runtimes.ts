/** The runtimes as installed in this repository, and how they run its programs. */
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

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

/** Flags of Node.js that let the packages' names resolve to their sources. */
export const NODE_SOURCES: readonly string[] = [
  "--disable-warning=ExperimentalWarning",
  "--import",
  new URL("sources-hook.ts", import.meta.url).href,
];
const BUN_CONFIG = fileURLToPath(new URL("../../conformance/matrix/bun.tsconfig.json", import.meta.url));

/** Arguments before the path of a program that let the packages' names resolve to their sources. */
export function sourceArguments(runtime: RuntimeName, denoPermissions: readonly string[] = ["--allow-all"]): string[] {
  switch (runtime) {
    case "node":
      return [...NODE_SOURCES];
    case "bun":
      return [`--tsconfig-override=${BUN_CONFIG}`];
    case "deno":
      return ["run", ...denoPermissions, "--no-check"];
  }
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
