/**
 * A Python program controlled by a test: it reads commands and writes replies and events as JSON lines (see
 * python/driver.py).
 */

import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Float64, float64 } from "@netconduit/core";

/** A file name in python/. */
export type DriverProgram = "client_driver.py" | "server_driver.py" | "values_driver.py";

/** An event reported by a driver. */
export interface DriverEvent {
  readonly event: string;
  readonly [field: string]: unknown;
}

/** An exception raised by a command in Python. */
export class PythonError extends Error {
  override readonly name: string = "PythonError";
  /** The exception's class. */
  readonly type: string;
  /** Set for netconduit's RPCError. */
  readonly code: unknown;
  readonly details: unknown;

  constructor(error: { type: string; message: string; code: unknown; details: unknown }) {
    super(error.message);
    this.type = error.type;
    this.code = error.code;
    this.details = error.details;
  }
}

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: ConstructorParameters<typeof PythonError>[0];
}

interface Waiter<T> {
  resolve(value: T): void;
  reject(error: Error): void;
}

interface EventWaiter extends Waiter<DriverEvent> {
  readonly fields: Readonly<Record<string, unknown>>;
}

export class PythonDriver {
  readonly #python: string;
  readonly #program: DriverProgram;
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #answers = new Map<number, Waiter<unknown>>();
  readonly #events: DriverEvent[] = [];
  #waiters: EventWaiter[] = [];
  #lastId = 0;
  #stderr = "";
  #exited: Error | null = null;

  private constructor(python: string, program: DriverProgram) {
    this.#python = python;
    this.#program = program;
    const script = fileURLToPath(new URL(`python/${program}`, import.meta.url));
    const env = { ...process.env, PYTHONUTF8: "1", PYTHONDONTWRITEBYTECODE: "1" };
    this.#child = spawn(python, [script], { env, stdio: "pipe" });
    // A driver exits when its stdin closes, even if this process is killed. Keep write errors for the message; the
    // "close" event rejects pending commands.
    this.#child.stdin.on("error", (error) => {
      this.#stderr += `${error.message}\n`;
    });
    this.#child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-4000);
    });
    this.#child.on("error", (error) => this.#ended(`could not be started: ${error.message}`));
    this.#child.on("close", (code, signal) => this.#ended(`ended (${signal ?? code})`));
    createInterface({ input: this.#child.stdout, crlfDelay: Number.POSITIVE_INFINITY }).on("line", (line) =>
      this.#line(line),
    );
  }

  /** Starts `interop/python/<program>`, and resolves once it accepts commands. */
  static async start(python: string, program: DriverProgram): Promise<PythonDriver> {
    const driver = new PythonDriver(python, program);
    await driver.next({ event: "ready" });
    return driver;
  }

  /** Starts another instance of the program, which a test may kill. */
  startAnother(): Promise<PythonDriver> {
    return PythonDriver.start(this.#python, this.#program);
  }

  /** Runs a command. Rejects with PythonError if it raises. */
  run<T = unknown>(command: string, args: Readonly<Record<string, unknown>> = {}): Promise<T> {
    return new Promise<unknown>((resolve, reject) => {
      if (this.#exited !== null) throw this.#exited;
      this.#lastId += 1;
      this.#answers.set(this.#lastId, { resolve, reject });
      this.#child.stdin.write(`${toJson({ ...args, id: this.#lastId, do: command })}\n`);
    }) as Promise<T>;
  }

  /** Resolves with the next event that has these `fields`, including past ones. Returns each event once. */
  next(fields: Readonly<Record<string, unknown>> & { readonly event: string }): Promise<DriverEvent> {
    const index = this.#events.findIndex((event) => matches(event, fields));
    if (index >= 0) return Promise.resolve(this.#events.splice(index, 1)[0] as DriverEvent);
    if (this.#exited !== null) return Promise.reject(this.#exited);
    return new Promise((resolve, reject) => {
      this.#waiters.push({ fields, resolve, reject });
    });
  }

  /** Returns past events with these fields that haven't been returned yet. */
  arrived(fields: Readonly<Record<string, unknown>> & { readonly event: string }): DriverEvent[] {
    return this.#events.filter((event) => matches(event, fields));
  }

  /** Kills the process, as a crash would. Resolves when it has exited. */
  async kill(): Promise<void> {
    if (this.#exited !== null) return;
    const exited = new Promise((resolve) => this.#child.once("close", resolve));
    this.#child.kill("SIGKILL");
    await exited;
  }

  #line(line: string): void {
    const message = fromJson(line) as DriverEvent | Answer;
    if ("event" in message) {
      const index = this.#waiters.findIndex(({ fields }) => matches(message, fields));
      if (index >= 0) this.#waiters.splice(index, 1)[0]?.resolve(message);
      else this.#events.push(message);
      return;
    }
    const waiter = this.#answers.get(message.id);
    this.#answers.delete(message.id);
    if (message.error === undefined) waiter?.resolve(message.result);
    else waiter?.reject(new PythonError(message.error));
  }

  #ended(how: string): void {
    if (this.#exited !== null) return;
    const error = new Error(`The Python driver ${how}\n${this.#stderr}`);
    this.#exited = error;
    for (const waiter of [...this.#answers.values(), ...this.#waiters]) waiter.reject(error);
    this.#answers.clear();
    this.#waiters = [];
  }
}

function matches(event: DriverEvent, fields: Readonly<Record<string, unknown>>): boolean {
  return Object.entries(fields).every(([name, value]) => event[name] === value);
}

/** Tags values that JSON can't express, as python/driver.py does. */
function toJson(value: unknown): string {
  const mark = function (this: Record<string, unknown>, key: string, plain: unknown): unknown {
    const original = this[key];
    if (typeof original === "bigint") return { $int: original.toString() };
    if (original instanceof Float64) return { $float: String(original.value) };
    if (original instanceof Uint8Array) return { $bytes: Buffer.from(original).toString("base64") };
    if (original instanceof Date) return { $date: original.getTime() };
    return plain;
  };
  return JSON.stringify(value, mark);
}

function fromJson(text: string): unknown {
  return JSON.parse(text, (_key, value: unknown) => {
    if (typeof value !== "object" || value === null) return value;
    const { $int, $float, $bytes, $date } = value as Record<string, unknown>;
    if (typeof $int === "string") return BigInt($int);
    if (typeof $float === "string") return float64(Number($float));
    if (typeof $bytes === "string") return new Uint8Array(Buffer.from($bytes, "base64"));
    if (typeof $date === "number") return new Date($date);
    return value;
  });
}
