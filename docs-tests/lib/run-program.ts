/** Runs a program's text as a Node process of its own. */
import { spawn } from "node:child_process";
import { ROOT } from "./markdown.ts";

/** Long past anything a program of the documentation does: one that never ends fails with what it has printed. */
const MAX_RUN_MS = 60_000;

/** How a program ended. */
export interface Run {
  readonly code: number | null;
  /** The signal that ended it, or null. */
  readonly signal: string | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs `source`, a TypeScript module, in the repository's root. The packages' names mean their sources. */
export function runProgram(source: string): Promise<Run> {
  const hook = new URL("sources-hook.ts", import.meta.url).href;
  const flags = ["--disable-warning=ExperimentalWarning", "--input-type=module-typescript", "--import", hook];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, flags, {
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
