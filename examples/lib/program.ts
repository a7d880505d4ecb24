/** Runs an example as a process of its own, for the demo and the tests. */

import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { join } from "node:path";
import { examplesFor } from "./port.ts";
import { commandLine, findRuntime, type RuntimeName, TITLES, thisRuntime } from "./runtimes.ts";

export interface ProgramOptions {
  /** What it runs on. Default: the runtime that executes this. */
  readonly runtime?: RuntimeName;
  /** Arguments after the script. */
  readonly args?: readonly string[];
  /** Environment variables to add. */
  readonly env?: Readonly<Record<string, string>>;
}

/** How a program ended: its exit code, or the signal that killed it. */
export interface ProgramEnd {
  readonly code: number | null;
  readonly signal: string | null;
}

interface Waiter {
  readonly pattern: RegExp;
  /** Matching lines still to come. */
  missing: number;
  resolve(match: RegExpMatchArray): void;
  reject(error: Error): void;
}

/** A running example: what it prints, line by line, and its end. */
export class Program {
  /** Resolves when the process is gone and its output read. Never rejects. */
  readonly ended: Promise<ProgramEnd>;
  readonly #script: string;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #lines: string[] = [];
  readonly #waiters = new Set<Waiter>();
  #end: ProgramEnd | null = null;

  /** Starts `script`, a path below `examples/`. Throws when the runtime is not on this machine. */
  constructor(script: string, { runtime = thisRuntime(), ...options }: ProgramOptions = {}) {
    this.#script = script;
    const installed = findRuntime(runtime);
    if (installed === null) throw new Error(`${TITLES[runtime]} is not on the PATH; within pnpm, it is`);
    const command = commandLine(runtime, script, join(examplesFor(runtime), script));
    this.#child = spawn(installed.path, [...command, ...(options.args ?? [])], {
      env: { ...process.env, ...options.env },
      stdio: ["pipe", "pipe", "pipe"],
    });
    this.#read(this.#child.stdout);
    this.#read(this.#child.stderr);
    // A program that is gone does not read; its end is told elsewhere.
    this.#child.stdin.on("error", () => undefined);
    this.#child.on("error", (error) => this.#line(error.message));
    this.ended = new Promise((resolve) => {
      this.#child.on("close", (code, signal) => resolve(this.#closed({ code, signal })));
    });
  }

  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** Everything it printed so far, to standard output and standard error. */
  get output(): string {
    return this.#lines.join("\n");
  }

  /**
   * The first line that matches, printed already or still to come; with `nth` the nth such line.
   * Rejects when the program ends without it.
   */
  line(pattern: RegExp, nth = 1): Promise<RegExpMatchArray> {
    return new Promise((resolve, reject) => {
      const waiter = { pattern, missing: nth, resolve, reject };
      this.#waiters.add(waiter);
      for (const line of this.#lines) this.#offer(waiter, line);
      if (this.#end !== null) this.#giveUp(waiter, this.#end);
    });
  }

  /** Types a line. */
  type(line: string): void {
    this.#child.stdin.write(`${line}\n`);
  }

  /** Ends its standard input. */
  endInput(): void {
    this.#child.stdin.end();
  }

  /** Asks it to stop, as Ctrl+C or a process manager would, and resolves when it has. */
  stop(signal: "SIGINT" | "SIGTERM" = "SIGTERM"): Promise<ProgramEnd> {
    const { pid, exitCode, signalCode } = this.#child;
    // Not by kill() of the child: Deno would then give the signal as its end, however it ended.
    if (pid !== undefined && exitCode === null && signalCode === null) process.kill(pid, signal);
    return this.ended;
  }

  /** Ends it now; does nothing when it has ended. */
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
