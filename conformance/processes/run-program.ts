import { type ChildProcess, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { executable, type RuntimeName, sourceArguments } from "../../docs-tests/lib/runtimes.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const PROGRAM = "conformance/processes/program.ts";

/** Runs program.ts or another program in its own process. */
export class RunningProgram {
  readonly child: ChildProcess;
  /** Resolves with the output when the process has exited. Rejects if it failed. */
  readonly output: Promise<unknown[]>;
  readonly #lines: unknown[] = [];
  readonly #waiting: (() => void)[] = [];

  /**
   * @param before a command that wraps the program, for example `prlimit --nofile=64`
   * @param permissions Deno's permissions
   * @param path the program's path
   */
  constructor(
    runtime: RuntimeName,
    args: readonly string[],
    before: readonly string[] = [],
    permissions: readonly string[] = ["--allow-all"],
    path = PROGRAM,
  ) {
    const flags = sourceArguments(runtime, permissions);
    const [command = "", ...rest] = [...before, executable(runtime), ...flags, path, runtime, ...args];
    const child = spawn(command, rest, { cwd: ROOT, stdio: ["pipe", "pipe", "pipe"] });
    this.child = child;
    let text = "";
    let errors = "";
    child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
      errors += chunk;
    });
    child.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      const lines = (text + chunk).split("\n");
      text = lines.pop() ?? "";
      for (const line of lines) this.#lines.push(JSON.parse(line));
      for (const wake of this.#waiting.splice(0)) wake();
    });
    this.output = new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code, signal) => {
        for (const wake of this.#waiting.splice(0)) wake();
        if (code === 0) resolve(this.#lines);
        else reject(new Error(`The program on ${runtime} ended with ${signal ?? code}: ${errors}`));
      });
    });
    this.output.catch(() => {});
  }

  /** Resolves with the next printed line; undefined after the process has exited. */
  async next(): Promise<unknown> {
    while (this.#lines.length === 0 && this.child.exitCode === null && this.child.signalCode === null) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    return this.#lines.shift();
  }

  kill(): void {
    if (this.child.exitCode === null) this.child.kill("SIGKILL");
  }
}
