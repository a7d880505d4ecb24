import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import type { Handlers } from "./commands.ts";
import type { Peer, RuntimeName, Side } from "./peer.ts";
import { runtimeCommand } from "./runtimes.ts";

const BENCH = fileURLToPath(new URL("..", import.meta.url));
const COMMAND_TIMEOUT_MS = 120_000;
const EXIT_TIMEOUT_MS = 3_000;
/** Maximum characters of standard error quoted in an error message. */
const STDERR_CHARACTERS = 2_000;

/** The process to start. */
export interface HostOptions {
  readonly runtime: RuntimeName;
  readonly side: Side;
  readonly peer: Peer;
}

type Args<Commands, Name extends keyof Commands> = Parameters<Handlers<Commands>[Name]>[0];
type Result<Commands, Name extends keyof Commands> = Awaited<ReturnType<Handlers<Commands>[Name]>>;

interface Pending {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

/** A benchmark process controlled by commands. */
export class Host<Commands> {
  readonly #child: ChildProcess;
  readonly #what: string;
  readonly #pending: Map<number, Pending> = new Map();
  readonly #exited: Promise<void>;
  #errors = "";
  #exitError: Error | null = null;
  #lastId = 0;

  /** Starts the process; resolves when it accepts commands. */
  static async start<Commands>(options: HostOptions): Promise<Host<Commands>> {
    const { peer, runtime, side } = options;
    const [command, args] = runtimeCommand(runtime);
    const program = (await peer.program?.(side)) ?? [command, ...args, join(BENCH, "process.ts"), side, peer.name];
    const host = new Host<Commands>(`the ${side} of ${peer.name} on ${runtime}`, program);
    try {
      await host.#expect(0, "start");
    } catch (error) {
      await host.close();
      throw error;
    }
    return host;
  }

  private constructor(what: string, [program, ...args]: readonly [string, ...string[]]) {
    this.#what = what;
    const child = spawn(program, args, { cwd: BENCH, stdio: ["pipe", "pipe", "pipe"] });
    this.#child = child;
    this.#exited = new Promise((resolve) => {
      child.on("error", (error) => {
        this.#fail(error.message);
        resolve();
      });
      child.on("close", (code, signal) => {
        this.#fail(`it ended with ${signal ?? `exit code ${code}`}`);
        resolve();
      });
    });
    child.stdin?.on("error", () => this.#fail("its standard input closed"));
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#errors = (this.#errors + text).slice(-STDERR_CHARACTERS);
    });
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on("line", (line) => this.#answered(line));
  }

  /** Runs a command in the process. Rejects if it fails there, takes too long, or the process exits. */
  call<Name extends keyof Commands & string>(
    command: Name,
    args: Args<Commands, Name>,
  ): Promise<Result<Commands, Name>> {
    const id = ++this.#lastId;
    const result = this.#expect(id, command) as Promise<Result<Commands, Name>>;
    if (this.#exitError === null) this.#child.stdin?.write(`${JSON.stringify({ id, command, args })}\n`);
    return result;
  }

  /** Ends the process, by SIGKILL if needed. Never rejects. */
  async close(): Promise<void> {
    this.#child.stdin?.end();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), EXIT_TIMEOUT_MS);
    await this.#exited;
    clearTimeout(timer);
  }

  async #expect(id: number, command: string): Promise<unknown> {
    if (this.#exitError !== null) throw this.#exitError;
    let timer: NodeJS.Timeout | undefined;
    try {
      return await new Promise((resolve, reject) => {
        this.#pending.set(id, { resolve, reject });
        timer = setTimeout(
          () => reject(this.#error(`${command} took longer than ${COMMAND_TIMEOUT_MS / 1000} s`)),
          COMMAND_TIMEOUT_MS,
        );
      });
    } finally {
      clearTimeout(timer);
      this.#pending.delete(id);
    }
  }

  #answered(line: string): void {
    let message: { id?: number; result?: unknown; error?: string };
    try {
      message = JSON.parse(line) as typeof message;
    } catch {
      // Output of a library instead of a reply: keep it for error messages.
      this.#errors = `${this.#errors}${line}\n`.slice(-STDERR_CHARACTERS);
      return;
    }
    const pending = this.#pending.get(message.id ?? -1);
    if (message.error === undefined) pending?.resolve(message.result);
    else pending?.reject(this.#error(message.error));
  }

  #fail(reason: string): void {
    this.#exitError ??= this.#error(reason);
    for (const { reject } of this.#pending.values()) reject(this.#exitError);
  }

  #error(reason: string): Error {
    const errors = this.#errors.trim();
    return new Error(`${this.#what}: ${reason}${errors === "" ? "" : `\n${errors}`}`);
  }
}
