/** A process of a run, as the runner sees it. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { executable, type RuntimeName } from "../../docs-tests/lib/runtimes.ts";
import type { Side } from "./journal.ts";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const ERROR_TAIL = 4000;

/** Arguments that run a program of the repository from its sources. */
const ARGUMENTS: Readonly<Record<RuntimeName, readonly string[]>> = {
  node: ["--disable-warning=ExperimentalWarning", "--import", "./docs-tests/lib/sources-hook.ts"],
  bun: ["--tsconfig-override=conformance/matrix/bun.tsconfig.json"],
  deno: ["run", "--allow-all", "--no-check", "--quiet"],
};

/** A line that the process prints by itself. */
export type Note = { readonly progress: number } | { readonly isDone: true };

export class PeerProcess {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, { resolve: (result: unknown) => void; reject: (error: Error) => void }>();
  readonly #noted: (note: Note) => void;
  #errors = "";
  #lastId = 0;
  #exit: string | null = null;

  private constructor(child: ChildProcess, noted: (note: Note) => void) {
    this.#child = child;
    this.#noted = noted;
  }

  /**
   * Starts chaos/peer.ts. Resolves when it takes commands.
   * @param before a command that runs the program, for example `ip netns exec NAME`
   */
  static async start(
    runtime: RuntimeName,
    side: Side,
    options: object,
    noted: (note: Note) => void,
    before: readonly string[] = [],
  ): Promise<PeerProcess> {
    const program = [
      executable(runtime),
      ...ARGUMENTS[runtime],
      "chaos/peer.ts",
      runtime,
      side,
      JSON.stringify(options),
    ];
    const [command = "", ...args] = [...before, ...program];
    const peer = new PeerProcess(spawn(command, args, { cwd: ROOT, stdio: ["pipe", "pipe", "pipe"] }), noted);
    await peer.#follow();
    return peer;
  }

  /** How the process ended, with the end of its standard error; null while it runs. */
  get exit(): string | null {
    return this.#exit;
  }

  ask<T>(command: string, args: unknown = null): Promise<T> {
    if (this.#exit !== null) return Promise.reject(new Error(this.#exit));
    this.#lastId += 1;
    const id = this.#lastId;
    this.#child.stdin?.write(`${JSON.stringify({ id, command, args })}\n`);
    return this.#answer(id) as Promise<T>;
  }

  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#child.kill(signal);
  }

  /** Kills it as the system would. */
  async kill(): Promise<void> {
    if (this.#exit !== null) return;
    const exit = once(this.#child, "close");
    this.#child.kill("SIGKILL");
    await exit;
  }

  #follow(): Promise<unknown> {
    const child = this.#child;
    child.stderr?.on("data", (chunk: Buffer) => {
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
    if (child.stdout !== null) createInterface({ input: child.stdout }).on("line", (line) => this.#read(line));
    return ready;
  }

  #read(line: string): void {
    if (!line.startsWith("{")) return;
    const message = JSON.parse(line) as
      | Note
      | { readonly id: number; readonly result?: unknown; readonly error?: string };
    if (!("id" in message)) {
      this.#noted(message);
      return;
    }
    const waiting = this.#waiting.get(message.id);
    this.#waiting.delete(message.id);
    if (message.error === undefined) waiting?.resolve(message.result);
    else waiting?.reject(new Error(message.error));
  }

  #answer(id: number): Promise<unknown> {
    return new Promise((resolve, reject) => this.#waiting.set(id, { resolve, reject }));
  }
}
