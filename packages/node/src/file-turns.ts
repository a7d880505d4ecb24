import { nextTick } from "node:process";
import { filesRunBy, type NodeFileSystem, TIME_SLICE_MS } from "@netconduit/core/adapter";

// Kept, because fake timers replace the global ones.
const { performance, queueMicrotask, setImmediate } = globalThis;

/**
 * Operations on files share a turn of the event loop: what follows them takes as much of it as one connection. The others
 * that have ended continue in later turns, in order.
 *
 * Without that, threads end operations while what follows earlier ones is done, so turns grow: beside ten connections that
 * began and broke off uploads, one had up to 60 of them, and 4 ms.
 */
export class FileTurns {
  readonly #waiting = new Set<() => void>();
  /** Negative until an operation ends in this turn. */
  #startedAtMs = -1;

  async run<T>(operation: () => Promise<T>): Promise<T> {
    try {
      return await operation();
    } finally {
      await this.#turn();
    }
  }

  /** Resolves when this turn, or a later one, has time left. */
  async #turn(): Promise<void> {
    if (this.#startedAtMs < 0) {
      this.#startedAtMs = performance.now();
      setImmediate(this.#nextTurn);
    } else if (this.#waiting.size > 0 || this.#isOver) {
      await new Promise<void>((resolve) => this.#waiting.add(resolve));
    }
  }

  get #isOver(): boolean {
    return performance.now() - this.#startedAtMs >= TIME_SLICE_MS;
  }

  readonly #nextTurn = (): void => {
    this.#startedAtMs = -1;
    if (this.#waiting.size === 0) return;
    this.#startedAtMs = performance.now();
    this.#continueOne();
  };

  readonly #continueOne = (): void => {
    const [next] = this.#waiting;
    if (next === undefined || this.#isOver) {
      setImmediate(this.#nextTurn);
      return;
    }
    this.#waiting.delete(next);
    next();
    // A tick that a microtask asks for comes after all microtasks, so after what follows the operation.
    queueMicrotask(() => nextTick(this.#continueOne));
  };
}

export function filesInTurns(fs: NodeFileSystem, turns: FileTurns = new FileTurns()): NodeFileSystem {
  const run = <T>(operation: () => Promise<T>): Promise<T> => turns.run(operation);
  return filesRunBy(fs, { run, sync: run });
}
