/** Runs an example in a separate process, for the demo and the tests. */

import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { join } from "node:path";
import { examplesFor } from "./port.ts";
import { commandLine, findRuntime, type RuntimeName, TITLES, thisRuntime } from "./runtimes.ts";

export interface ProgramOptions {
  /** Runtime to use. Default: the current one. */
  readonly runtime?: RuntimeName;
  /** Arguments after the script. */
  readonly args?: readonly string[];
  /** Environment variables to add. */
  readonly env?: Readonly<Record<string, string>>;
}

/** A program's exit code, or the signal that killed it. */
export interface ProgramEnd {
  readonly code: number | null;
  readonly signal: string | null;
}

interface Waiter {
  readonly pattern: RegExp;
  /** Number of matching lines still missing. */
  missing: number;
  resolve(match: RegExpMatchArray): void;
  reject(error: Error): void;
}

/** A running example: its output, line by line, and its exit. */
export class Program {
  /** Resolves when the process has exited and its output is complete. Never rejects. */
  readonly ended: Promise<ProgramEnd>;
  readonly #script: string;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: string[] = [];
  readonly #waiters = new Set<Waiter>();
  #end: ProgramEnd | null = null;

  /** Starts `script`, a path below `examples/`. Throws if the runtime isn't installed. */
  constructor(script: string, { runtime = thisRuntime(), ...options }: ProgramOptions = {}) {
    this.#script = script;
    const installed = findRuntime(runtime);
    if (installed === null) throw new Error(`${TITLES[runtime]} is not on the PATH; run this through pnpm`);
    const command = commandLine(runtime, script, join(examplesFor(runtime), script));
    this.#child = spawn(installed.path, [...command, ...(options.args ?? [])], {
      env: { ...process.env, ...options.env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#read(this.#child.stdout);
    this.#read(this.#child.stderr);
    // Writing to a program that has exited fails; `ended` reports the exit.
    this.#child.stdin.on("error", () => undefined);
    this.#child.on("error", (error) => this.#line(error.message));
    this.ended = new Promise((resolve) => {
      this.#child.on("close", (code, signal) => resolve(this.#closed({ code, signal })));
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** The output so far, both standard output and standard error. */
  get output(): string {
    return this.#lines.join("\n");
  }

  /**
   * Resolves with the `nth` line that matches, whether already printed or still to come.
   * Rejects if the program ends without it.
   */
  line(pattern: RegExp, nth = 1): Promise<RegExpMatchArray> {
    return new Promise((resolve, reject) => {
      const waiter = { pattern, missing: nth, resolve, reject };
      this.#waiters.add(waiter);
      for (const line of this.#lines) this.#offer(waiter, line);
      if (this.#end !== null) this.#giveUp(waiter, this.#end);
    });
  }

  /** Writes a line to standard input. */
  type(line: string): void {
    this.#child.stdin.write(`${line}\n`);
  }

  /** Closes standard input. */
  endInput(): void {
    this.#child.stdin.end();
  }

  /** Sends a signal, as Ctrl+C or a process manager would, and resolves when the program has exited. */
  stop(signal: "SIGINT" | "SIGTERM" = "SIGTERM"): Promise<ProgramEnd> {
    const { pid, exitCode, signalCode } = this.#child;
    // After child.kill(), Deno always reports the signal as the exit, whatever the exit code was.
    if (pid !== undefined && exitCode === null && signalCode === null) process.kill(pid, signal);
    return this.ended;
  }

  /** Kills the program if it is still running. */
  kill(): Promise<ProgramEnd> {
    if (this.#end === null) this.#child.kill("SIGKILL");
    return this.ended;
  }

  #read(stream: NodeJS.ReadableStream): void {
    let rest = "";
    stream.setEncoding("utf8");
    stream.on("data", (text: string) => {
      const lines = (rest + text).split(/\r?\n/);
      rest = lines.pop() as string;
      for (const line of lines) this.#line(line);
    });
    stream.on("end", () => {
      if (rest !== "") this.#line(rest);
    });
  }

  #line(line: string): void {
    this.#lines.push(line);
    for (const waiter of this.#waiters) this.#offer(waiter, line);
  }

  #offer(waiter: Waiter, line: string): void {
    const match = line.match(waiter.pattern);
    if (match === null || !this.#waiters.has(waiter)) return;
    waiter.missing -= 1;
    if (waiter.missing > 0) return;
    this.#waiters.delete(waiter);
    waiter.resolve(match);
  }

  #closed(end: ProgramEnd): ProgramEnd {
    this.#end = end;
    for (const waiter of this.#waiters) this.#giveUp(waiter, end);
    return end;
  }

  #giveUp(waiter: Waiter, { code, signal }: ProgramEnd): void {
    if (!this.#waiters.delete(waiter)) return;
    const how = code === null ? `was ended by ${signal}` : `ended with code ${code}`;
    waiter.reject(new Error(`${this.#script} ${how} before it printed ${waiter.pattern}. It printed:\n${this.output}`));
  }
}
