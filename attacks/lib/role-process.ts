/** A process with a role in an attack, as the one that measures sees it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { executable, type RuntimeName } from "../../docs-tests/lib/runtimes.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const ERROR_TAIL = 4000;

/** Arguments that run a program of the repository from its sources. */
const ARGUMENTS: Readonly<Record<RuntimeName, readonly string[]>> = {
  node: ["--disable-warning=ExperimentalWarning", "--import", "./docs-tests/lib/sources-hook.ts"],
  bun: ["--tsconfig-override=conformance/matrix/bun.tsconfig.json"],
  deno: ["run", "--allow-all", "--no-check"],
};

export interface RoleOptions {
  readonly runtime?: RuntimeName;
  /** Largest number of file descriptors. Default: the system's. */
  readonly descriptors?: number | undefined;
}

export class RoleProcess {
  /** Bytes that the process wrote to standard error. */
  errorBytes = 0;
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>();
  #errors = "";
  #lastId = 0;
  #exit: string | null = null;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Starts `program`, a file of this folder. Resolves when it takes commands. */
  static async start(program: string, options: RoleOptions = {}): Promise<RoleProcess> {
    const { runtime = "node", descriptors } = options;
    const command = [executable(runtime), ...ARGUMENTS[runtime], `attacks/${program}`, runtime];
    const limited = descriptors === undefined ? command : ["prlimit", `--nofile=${descriptors}`, ...command];
    const child = spawn(limited[0] as string, limited.slice(1), { cwd: ROOT });
    const role = new RoleProcess(child);
    await role.#follow();
    return role;
  }

  /** How the process ended, if it did. */
  get exit(): string | null {
    return this.#exit;
  }

  /** The largest memory that it has used, in MiB; 0 where the system doesn't tell. */
  get peakMiB(): number {
    return this.#memory("VmHWM");
  }

  get memoryMiB(): number {
    return this.#memory("VmRSS");
  }

  ask<T>(command: string, args: unknown = null): Promise<T> {
    if (this.#exit !== null) return Promise.reject(new Error(this.#exit));
    this.#lastId += 1;
    const id = this.#lastId;
    const answer = this.#answer(id);
    this.#child.stdin?.write(`${JSON.stringify({ id, command, args })}\n`);
    return answer as Promise<T>;
  }

  async stop(): Promise<void> {
    if (this.#exit !== null) return;
    const exit = once(this.#child, "close");
    this.#child.kill("SIGKILL");
    await exit;
  }

  #follow(): Promise<unknown> {
    const child = this.#child;
    child.stderr?.on("data", (chunk: Buffer) => {
      this.errorBytes += chunk.length;
      this.#errors = (this.#errors + chunk.toString()).slice(-ERROR_TAIL);
    });
    // Writing to a process that is gone fails; `exit` tells that.
    child.stdin?.on("error", () => undefined);
    const ended = (how: string): void => {
      this.#exit ??= `${how}\n${this.#errors}`;
      for (const { reject } of this.#waiting.values()) reject(new Error(this.#exit));
      this.#waiting.clear();
    };
    child.on("error", (error) => ended(error.message));
    child.on("close", (code, signal) => ended(`ended with ${signal ?? code}`));
    const ready = this.#answer(0);
    if (child.stdout !== null) {
      createInterface({ input: child.stdout }).on("line", (line) => {
        if (!line.startsWith('{"id":')) return;
        const { id, result, error } = JSON.parse(line) as { id: number; result?: unknown; error?: string };
        const waiting = this.#waiting.get(id);
        this.#waiting.delete(id);
        if (error === undefined) waiting?.resolve(result);
        else waiting?.reject(new Error(error));
      });
    }
    return ready;
  }

  #answer(id: number): Promise<unknown> {
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }

  #memory(field: string): number {
    if (process.platform !== "linux" || this.#exit !== null) return 0;
    const [, kib] =
      new RegExp(`${field}:\\s*(\\d+)`).exec(readFileSync(`/proc/${this.#child.pid}/status`, "utf8")) ?? [];
    return Math.round(Number(kib ?? 0) / 1024);
  }
}
