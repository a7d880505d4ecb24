/**
 * The coverage-guided fuzzing loop: keeps inputs that reach new code, and mutates them further. The first input that
 * breaks a rule is minimized and ends the loop.
 */
import { setImmediate as turn } from "node:timers/promises";
import { getHeapStatistics } from "node:v8";
import { Random } from "../../packages/core/src/test-support/random.ts";
import { Coverage } from "./coverage.ts";
import { mutated } from "./mutate.ts";
import { must, type Target, Violation } from "./target.ts";
import type { Watchdog } from "./watchdog.ts";

/** Memory limit of one input, including garbage. */
const MAX_MEMORY_BYTES = 256 * 1024 * 1024;
const PROGRESS_ROUNDS = 50;
const MAX_INPUT_BYTES = 4096;
/** Maximum executions for minimizing a finding. */
const MAX_SHRINKS = 2000;

export interface FuzzOptions {
  readonly executions: number;
  readonly seed: number;
  /** Initial inputs, in addition to the target's seeds. */
  readonly corpus: readonly Uint8Array[];
  readonly watchdog?: Watchdog | undefined;
  /** Ends the run early. */
  readonly signal?: AbortSignal | undefined;
  /** Called periodically, first after the initial inputs have run. */
  progress?(executions: number, characters: number, inputs: number): void;
}

export interface Finding {
  readonly input: Uint8Array;
  readonly error: unknown;
}

export interface FuzzResult {
  readonly executions: number;
  /** Number of source characters that ran. */
  readonly characters: number;
  /** The smallest inputs that together reach all covered code. */
  readonly corpus: readonly Uint8Array[];
  /** Null if no input broke a rule. */
  readonly finding: Finding | null;
}

export async function fuzz(target: Target, options: FuzzOptions): Promise<FuzzResult> {
  const random = new Random(options.seed);
  const { batch } = target;
  const coverage = new Coverage();
  const runner = new Runner(target, options.watchdog);
  const corpus: Uint8Array[] = [];
  let executions = 0;

  /** Runs an input, and keeps it if it reaches new code. */
  async function tried(input: Uint8Array): Promise<Finding | null> {
    executions += 1;
    const finding = await runner.run(input);
    if (finding === null && coverage.take() > 0) corpus.push(input);
    return finding;
  }
  async function ended(finding: Finding | null): Promise<FuzzResult> {
    const { characters } = coverage;
    if (finding !== null) return { executions, characters, corpus, finding: await shrunk(runner, finding) };
    return { executions, characters, corpus: await minimized(runner, coverage, corpus), finding };
  }

  /** Runs inputs as a batch. If the batch reaches new code, runs its halves again to find the input. */
  async function triedTogether(inputs: readonly Uint8Array[]): Promise<Finding | null> {
    if (inputs.length === 1) return tried(inputs[0] as Uint8Array);
    for (const input of inputs) {
      executions += 1;
      const finding = await runner.run(input);
      if (finding !== null) return finding;
    }
    if (!coverage.hasNew()) return null;
    const half = inputs.length >> 1;
    return (await triedTogether(inputs.slice(0, half))) ?? (await triedTogether(inputs.slice(half)));
  }

  coverage.start();
  runner.start();
  try {
    for (const input of [...options.corpus, ...(await target.seeds())]) {
      const finding = await tried(input);
      if (finding !== null) return await ended(finding);
    }
    options.progress?.(executions, coverage.characters, corpus.length);
    for (let round = 1; executions < options.executions && options.signal?.aborted !== true; round += 1) {
      const inputs = Array.from({ length: batch }, () => {
        // The latest addition often leads to more.
        const parent = random.below(4) === 0 ? (corpus.at(-1) as Uint8Array) : random.pick(corpus);
        return mutated(parent, random.pick(corpus), random, MAX_INPUT_BYTES);
      });
      const finding = await triedTogether(inputs);
      if (finding !== null) return await ended(finding);
      if (round % PROGRESS_ROUNDS === 0) options.progress?.(executions, coverage.characters, corpus.length);
      // Yield to receive signals.
      await turn();
    }
    return await ended(null);
  } finally {
    runner.stop();
  }
}

/** Runs inputs one by one, without coverage. */
export async function replay(target: Target, inputs: readonly Uint8Array[]): Promise<Finding | null> {
  const runner = new Runner(target, undefined);
  runner.start();
  try {
    for (const input of inputs) {
      const finding = await runner.run(input);
      if (finding !== null) return finding;
    }
    return null;
  } finally {
    runner.stop();
  }
}

class Runner {
  readonly #target: Target;
  readonly #watchdog: Watchdog | undefined;
  readonly #escaped: unknown[] = [];

  constructor(target: Target, watchdog: Watchdog | undefined) {
    this.#target = target;
    this.#watchdog = watchdog;
  }

  readonly #escape = (error: unknown): void => {
    this.#escaped.push(error);
  };

  #starve = (): void => undefined;
  readonly #beforeExit = (): void => this.#starve();

  start(): void {
    process.on("beforeExit", this.#beforeExit);
    process.on("unhandledRejection", this.#escape);
    process.on("uncaughtException", this.#escape);
  }

  stop(): void {
    process.off("beforeExit", this.#beforeExit);
    process.off("unhandledRejection", this.#escape);
    process.off("uncaughtException", this.#escape);
  }

  /** Rejects when the process has nothing left to do while an input is still running. */
  #starved(): Promise<never> {
    return new Promise((_resolve, reject) => {
      this.#starve = () => reject(new Violation("it waits for something that never comes"));
    });
  }

  async run(input: Uint8Array): Promise<Finding | null> {
    this.#watchdog?.begin(input);
    const before = memoryBytes();
    try {
      const running = this.#target.run(input);
      if (running !== undefined) {
        await Promise.race([running, this.#starved()]);
        // Unhandled rejections are reported at the end of a turn.
        await turn();
      }
      if (this.#escaped.length > 0) throw this.#escaped[0];
      const taken = memoryBytes() - before;
      must(taken <= MAX_MEMORY_BYTES, `${input.length} bytes took ${taken} bytes of memory`);
      return null;
    } catch (error) {
      this.#escaped.length = 0;
      return { input, error };
    } finally {
      this.#watchdog?.end();
    }
  }
}

function memoryBytes(): number {
  const { used_heap_size: heap, external_memory: external } = getHeapStatistics();
  return heap + external;
}

/** Removes bytes from a finding's input while it still fails. */
async function shrunk(runner: Runner, finding: Finding): Promise<Finding> {
  let smallest = finding;
  let left = MAX_SHRINKS;
  for (let size = finding.input.length >> 1; size > 0; size >>= 1) {
    for (let at = 0; at < smallest.input.length && left > 0; left -= 1) {
      const { input } = smallest;
      const smaller = Uint8Array.from([...input.subarray(0, at), ...input.subarray(at + size)]);
      const still = await runner.run(smaller);
      if (still === null || String(still.error) !== String(finding.error)) at += size;
      else smallest = still;
    }
  }
  return smallest;
}

/** Returns the inputs that add coverage, tried from the shortest. */
async function minimized(runner: Runner, coverage: Coverage, corpus: readonly Uint8Array[]): Promise<Uint8Array[]> {
  coverage.reset();
  const kept: Uint8Array[] = [];
  for (const input of corpus.toSorted((a, b) => a.length - b.length)) {
    await runner.run(input);
    if (coverage.take() > 0) kept.push(input);
  }
  return kept;
}
