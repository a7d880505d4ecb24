import { spawn } from "node:child_process";
import { basename } from "node:path";

/** Result of a command. */
export interface RunResult {
  /** Exit code; 1 if a signal killed it or it couldn't start. */
  readonly code: number;
  /** Standard output and standard error, interleaved; empty if they were passed through. */
  readonly output: string;
  /** Duration in milliseconds. */
  readonly durationMs: number;
}

export interface RunOptions {
  /** Working directory. Default: that of this process. */
  readonly cwd?: string;
  /** `capture` (default) collects the output; `show` passes it through to this process's terminal. */
  readonly output?: "capture" | "show";
  /** Environment variables to add, or to remove if undefined. */
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/** Runs a command to its end. Never rejects: a command that fails to start has code 1 and the reason in `output`. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const { cwd = process.cwd(), output = "capture", env = {} } = options;
  const started = performance.now();
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      stdio: output === "show" ? "inherit" : ["ignore", "pipe", "pipe"],
    });
    const chunks: string[] = [];
    const finish = (code: number): void =>
      resolve({ code, output: chunks.join(""), durationMs: performance.now() - started });
    child.stdout?.setEncoding("utf8").on("data", (text: string) => chunks.push(text));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => chunks.push(text));
    child.on("error", (error) => {
      chunks.push(`${command}: ${error.message}\n`);
      finish(1);
    });
    child.on("close", (code) => finish(code ?? 1));
  });
}

/** The pnpm that started this script, or else the one on the PATH. */
export function pnpmCommand(): string {
  const starter = process.env.npm_execpath ?? "";
  return /^pnpm(\.exe)?$/.test(basename(starter)) ? starter : "pnpm";
}

/** Runs pnpm. */
export function pnpm(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return run(pnpmCommand(), args, options);
}

/** Formats milliseconds: `840 ms`, `3.2 s`. */
export function formatDuration(durationMs: number): string {
  return durationMs < 1000 ? `${Math.round(durationMs)} ms` : `${(durationMs / 1000).toFixed(1)} s`;
}
