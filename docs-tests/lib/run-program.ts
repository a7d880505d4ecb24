/** Runs a program's source in a separate process. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { ROOT } from "./markdown.ts";
import { executable, NODE_SOURCES, type RuntimeName } from "./runtimes.ts";

/** Time limit, well above what the programs need. A program that doesn't end fails with its output so far. */
const MAX_RUN_MS = 110_000;

/** Result of a program. */
export interface Run {
  readonly code: number | null;
  /** The signal that killed it, or null. */
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  /** Default `"node"`. */
  readonly runtime?: RuntimeName;
  /** Permission flags for Deno. Default: none. */
  readonly permissions?: readonly string[];
  /** Whether Deno checks types first. Default false. Node and Bun strip types. */
  readonly check?: boolean;
}

/** Runs `source`, a TypeScript module, in the repository's root. Package names resolve to the sources. */
export function runProgram(source: string, options: RunOptions = {}): Promise<Run> {
  const { runtime = "node" } = options;
  return new Promise((resolve, reject) => {
    const child = spawn(executable(runtime), flags(runtime, options), {
      cwd: ROOT,
      timeout: MAX_RUN_MS,
      env: { ...process.env, TZ: "UTC" },
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      stderr += text;
    });
    child.on("error", reject);
    child.on("close", (code, signal) => resolve({ code, signal, stdout, stderr }));
    child.stdin.end(source);
  });
}

function flags(runtime: RuntimeName, { permissions = [], check = false }: RunOptions): string[] {
  switch (runtime) {
    case "node":
      return [...NODE_SOURCES, "--input-type=module-typescript"];
    case "bun":
      return [`--tsconfig-override=${join(ROOT, "packages/bun/conformance/tsconfig.json")}`, "run", "-"];
    case "deno":
      // Deno resolves the sources through the workspace in deno.json.
      return ["run", "--quiet", "--no-prompt", check ? "--check" : "--no-check", ...permissions, "--ext=ts", "-"];
  }
}
