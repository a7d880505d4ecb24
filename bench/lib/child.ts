/** A child process of a measurement with several servers. It answers requests of its parent. */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";

export type Answers = Readonly<Record<string, (args: never) => unknown>>;
type Args<A extends Answers, Name extends keyof A> = Parameters<A[Name]>[0];
type Result<A extends Answers, Name extends keyof A> = Awaited<ReturnType<A[Name]>>;

interface ParentRequest {
  readonly id: number;
  readonly name: string;
  readonly args: unknown;
}

interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

/** Answers requests of the parent process. */
export function answerParent(answers: Answers): void {
  process.on("message", async ({ id, name, args }: ParentRequest) => {
    try {
      const answer = answers[name];
      if (answer === undefined) throw new Error(`Unknown request ${name}`);
      process.send?.({ id, result: await answer(args as never) } satisfies Answer);
    } catch (error) {
      process.send?.({ id, error: error instanceof Error ? (error.stack ?? error.message) : String(error) });
    }
  });
  process.on("disconnect", () => process.exit());
}

export class Child<A extends Answers> {
  readonly #process: ChildProcess;
  readonly #waiting = new Map<number, { resolve(result: unknown): void; reject(error: Error): void }>();
  #lastId = 0;

  constructor(file: string, args: readonly string[]) {
    this.#process = fork(fileURLToPath(new URL(file, import.meta.url)), args, {
      execArgv: [...process.execArgv, "--expose-gc"],
    });
    this.#process.on("message", ({ id, result, error }: Answer) => {
      const waiting = this.#waiting.get(id);
      this.#waiting.delete(id);
      if (error === undefined) waiting?.resolve(result);
      else waiting?.reject(new Error(error));
    });
    this.#process.on("exit", (code, signal) => {
      for (const { reject } of this.#waiting.values()) reject(new Error(`A process ended: ${signal ?? code}`));
    });
  }

  get processId(): number {
    return this.#process.pid as number;
  }

  request<Name extends keyof A & string>(name: Name, args: Args<A, Name>): Promise<Result<A, Name>> {
    const id = ++this.#lastId;
    return new Promise<unknown>((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#process.send({ id, name, args } satisfies ParentRequest);
    }) as Promise<Result<A, Name>>;
  }

  async close(): Promise<void> {
    const ended = once(this.#process, "exit");
    this.#process.disconnect();
    await ended;
  }
}

/** Length of a clock tick of /proc in ms: USER_HZ is 100 on all Linux systems that Node.js runs on. */
const TICK_MS = 10;

/** CPU time of a process so far, in ms, from /proc; Linux only. */
export function cpuMsOf(processId: number): number {
  const stat = readFileSync(`/proc/${processId}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}
