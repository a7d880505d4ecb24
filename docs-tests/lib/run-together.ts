/** Runs programs one after the other in one process: starting one takes longer than most of them. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { ROOT } from "./markdown.ts";
import { executable, type RuntimeName, sourceArguments } from "./runtimes.ts";

/** Time limit for all of them. */
const MAX_RUN_MS = 240_000;

/** Output of one program. */
export interface ProgramResult {
  readonly stdout: string;
  /** The error that it threw, as text; null if none. */
  readonly error: string | null;
}

export interface TogetherRun {
  /** Results by name. Omits a program that didn't end, and all after it. */
  readonly results: ReadonlyMap<string, ProgramResult>;
  readonly code: number | null;
  /** The signal that killed it, or null. */
  readonly signal: string | null;
  readonly stderr: string;
}

/** Runs `sources`, TypeScript modules by name. On all runtimes, `console.log` formats objects as Node does. */
export async function runTogether(sources: ReadonlyMap<string, string>, runtime: RuntimeName): Promise<TogetherRun> {
  // Within the repository, so that packages resolve.
  const folder = mkdtempSync(join(ROOT, "docs-tests", "programs-"));
  try {
    const files = [...sources.values()].map((source, index) => {
      const file = join(folder, `${index}.ts`);
      writeFileSync(file, source);
      return file;
    });
    const flags = [...sourceArguments(runtime), join(ROOT, "docs-tests/lib/together.ts"), ...files];
    const child = spawn(executable(runtime), flags, {
      cwd: ROOT,
      timeout: MAX_RUN_MS,
      env: { ...process.env, TZ: "UTC" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const [stdout, stderr, [code, signal]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, "close"),
    ]);
    const lines = stdout.split("\n").filter(Boolean);
    const names = [...sources.keys()];
    const results = new Map(lines.map((line, index) => [names[index] ?? "", JSON.parse(line) as ProgramResult]));
    return { results, code: code as number | null, signal: signal as string | null, stderr };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
