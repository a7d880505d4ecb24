/** The runtimes that the examples run on, and their command lines. */

import { spawnSync } from "node:child_process";

export const RUNTIMES = ["node", "bun", "deno"] as const;
export type RuntimeName = (typeof RUNTIMES)[number];

/** Display names. */
export const TITLES: Readonly<Record<RuntimeName, string>> = { node: "Node.js", bun: "Bun", deno: "Deno" };

export function isRuntime(name: string): name is RuntimeName {
  return (RUNTIMES as readonly string[]).includes(name);
}

/** The current runtime. Bun and Deno also report a Node.js version, so check for them first. */
export function thisRuntime(): RuntimeName {
  if (process.versions["bun"] !== undefined) return "bun";
  return process.versions["deno"] === undefined ? "node" : "deno";
}

/** An installed runtime. */
export interface Installed {
  /** Path of the executable itself. The PATH may hold a wrapper script that doesn't forward signals. */
  readonly path: string;
  readonly version: string;
}

const found = new Map<RuntimeName, Installed | null>();

/** Finds the current runtime, or another one on the PATH, where pnpm puts the pinned versions. Null if not installed. */
export function findRuntime(name: RuntimeName): Installed | null {
  let installed = found.get(name);
  if (installed === undefined) {
    installed =
      name === thisRuntime() ? { path: process.execPath, version: process.versions[name] ?? "" } : queryRuntime(name);
    found.set(name, installed);
  }
  return installed;
}

function queryRuntime(name: RuntimeName): Installed | null {
  // No spaces or quotes: on Windows this goes through a shell, because the PATH holds a batch file.
  const question = `console.log(process.execPath,process.versions.${name})`;
  const { status, stdout } = spawnSync(name, [name === "deno" ? "eval" : "-e", question], {
    encoding: "utf8",
    shell: process.platform === "win32",
  });
  if (status !== 0) return null;
  const answer = stdout.trim();
  const gap = answer.lastIndexOf(" ");
  return { path: answer.slice(0, gap), version: answer.slice(gap + 1) };
}

/** Deno permissions, by the first part of a script's path below `examples/`. */
const DENO_PERMISSIONS: Readonly<Record<string, readonly string[]>> = {
  files: ["--allow-read", "--allow-write"],
  // Unix sockets and certificates are files.
  monitoring: ["--allow-read", "--allow-write"],
  // Devices upload files, and the server kills itself on demand.
  fleet: ["--allow-read", "--allow-write", "--allow-run"],
  // Starts the server as a separate process.
  "demo.ts": ["--allow-run"],
};

/** Arguments for the runtime's executable. `file` is `script` or a ported copy of it. */
export function commandLine(runtime: RuntimeName, script: string, file: string): string[] {
  if (runtime !== "deno") return [file];
  return [
    "run",
    // Use the packages that pnpm installed; the repository's deno.json is for publishing.
    ...["--no-config", "--node-modules-dir=manual"],
    ...["--no-prompt", "--allow-env", "--allow-net"],
    ...(DENO_PERMISSIONS[script.split("/")[0] ?? ""] ?? []),
    file,
  ];
}
