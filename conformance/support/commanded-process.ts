import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const ERROR_TAIL = 4000;

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

/** A process controlled through `serveCommands` in bench/lib/serve-commands.ts. */
export class CommandedProcess {
  /** Resolves when the process accepts commands. */
  readonly ready: Promise<unknown>;
  /** Number of bytes written to standard error. */
  errorBytes = 0;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>();
  #errors = "";
  #lastId = 0;
  #exit: string | null = null;

  /**
   * @param command the program and its arguments, run in the repository's root directory
   * @param noted called with objects that the process prints other than its answers. By default they are ignored
   */
  constructor([program = "", ...args]: readonly string[], noted: ((note: unknown) => void) | null = null) {
    const child = spawn(program, args, { cwd: ROOT, stdio: ["pipe", "pipe", "pipe"] });
    this.#child = child;
    child.stderr.on("data", (chunk: Buffer) => {
      this.errorBytes += chunk.length;
      this.#errors = (this.#errors + chunk.toString()).slice(-ERROR_TAIL);
    });
    // Writing to a process that has exited fails; `exit` reports that.
    child.stdin.on("error", () => undefined);
    const ended = (how: string): void => {
      this.#exit ??= `${how}\n${this.#errors}`;
      for (const { reject } of this.#waiting.values()) reject(new Error(this.#exit));
      this.#waiting.clear();
    };
    child.on("error", (error) => ended(error.message));
    child.on("close", (code, signal) => ended(`ended with ${signal ?? code}`));
    this.ready = this.#answer(0);
    createInterface({ input: child.stdout }).on("line", (line) => {
      if (line.startsWith('{"id":')) this.#answered(JSON.parse(line) as Answer);
      else if (line.startsWith("{")) noted?.(JSON.parse(line));
    });
  }

  get id(): number | undefined {
    return this.#child.pid;
  }

  /** How the process ended, and the last lines of its standard error; null while it runs. */
  get exit(): string | null {
    return this.#exit;
  }

  ask<T>(command: string, args: unknown = null): Promise<T> {
    if (this.#exit !== null) return Promise.reject(new Error(this.#exit));
    this.#lastId += 1;
    const id = this.#lastId;
    const answer = this.#answer(id);
    this.#child.stdin?.write(`${JSON.stringify({ id, command, args })}\n`);
    return answer as Promise<T>;
  }

  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#child.kill(signal);
  }

  /** Kills the process with SIGKILL. */
  async kill(): Promise<void> {
    if (this.#exit !== null) return;
    const exit = once(this.#child, "close");
    this.#child.kill("SIGKILL");
    await exit;
  }

  #answered({ id, result, error }: Answer): void {
    const waiting = this.#waiting.get(id);
    this.#waiting.delete(id);
    if (error === undefined) waiting?.resolve(result);
    else waiting?.reject(new Error(error));
  }

  #answer(id: number): Promise<unknown> {
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }
}
