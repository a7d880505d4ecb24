/** The runtimes that the examples run on, and how a program is started on each. */

import { spawnSync } from "node:child_process";

export const RUNTIMES = ["node", "bun", "deno"] as const;
export type RuntimeName = (typeof RUNTIMES)[number];

/** Their names for people. */
export const TITLES: Readonly<Record<RuntimeName, string>> = { node: "Node.js", bun: "Bun", deno: "Deno" };

export function isRuntime(name: string): name is RuntimeName {
  return (RUNTIMES as readonly string[]).includes(name);
}

/** The runtime that executes this. Bun and Deno give a version of Node.js too, so they are asked for first. */
export function thisRuntime(): RuntimeName {
  if (process.versions["bun"] !== undefined) return "bun";
  return process.versions["deno"] === undefined ? "node" : "deno";
}

/** A runtime on this machine. */
export interface Installed {
  /** Of the executable itself: what is on the PATH may be a script that starts it, and does not pass signals on. */
  readonly path: string;
  readonly version: string;
}

const found = new Map<RuntimeName, Installed | null>();

/** The runtime that executes this, or another one from the PATH, where pnpm puts the pinned ones; null: there is none. */
export function findRuntime(name: RuntimeName): Installed | null {
  let installed = found.get(name);
  if (installed === undefined) {
    installed =
      name === thisRuntime() ? { path: process.execPath, version: process.versions[name] ?? "" } : askRuntime(name);
    found.set(name, installed);
  }
  return installed;
}

function askRuntime(name: RuntimeName): Installed | null {
  // No space and no quote in it: on Windows this goes through a shell, for what is on the PATH is a batch file.
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

/** What Deno must permit, by the first part of a script's path below `examples/`. */
const DENO_PERMISSIONS: Readonly<Record<string, readonly string[]>> = {
  // Unix sockets and certificates are files.
  monitoring: ["--allow-read", "--allow-write"],
  // Its server is a process of its own.
  "demo.ts": ["--allow-run"],
};

/** What stands between the runtime's executable and `file`, which is `script` or a copy of it. */
export function commandLine(runtime: RuntimeName, script: string, file: string): string[] {
  if (runtime !== "deno") return [file];
  return [
    "run",
    // Within this repository: packages are those that pnpm installed, and its deno.json is about something else.
    ...["--no-config", "--node-modules-dir=manual"],
    ...["--no-prompt", "--allow-env", "--allow-net"],
    ...(DENO_PERMISSIONS[script.split("/")[0] ?? ""] ?? []),
    file,
  ];
}
