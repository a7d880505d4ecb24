import { filesRunBy, type NodeFileSystem } from "@netconduit/core/adapter";

/** An operation that takes longer doesn't hold up the others: on a network disk, many are carried out at a time. */
const PATIENCE_MS = 5;

/** Operations one after the other. */
export class Pace {
  readonly #waiting = new Set<() => void>();
  #isBusy = false;

  async run<T>(operation: () => Promise<T>): Promise<T> {
    if (this.#isBusy) await new Promise<void>((resolve) => this.#waiting.add(resolve));
    this.#isBusy = true;
    let holds = true;
    const pass = (): void => {
      if (holds) this.#next();
      holds = false;
    };
    const timer = setTimeout(pass, PATIENCE_MS);
    try {
      return await operation();
    } finally {
      clearTimeout(timer);
      pass();
    }
  }

  #next(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#isBusy = false;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}

/**
 * Carries out one operation at a time. As long as several come to an end in each turn, Deno looks at its sockets only every
 * 61st time: beside ten lists of 1,000 files, calls took 40 ms instead of 1.
 */
export function pacedFiles(fs: NodeFileSystem, pace: Pace = new Pace()): NodeFileSystem {
  return filesRunBy(fs, {
    run: (operation) => pace.run(operation),
    // It waits for the disk, so several at a time are faster.
    sync: (operation) => operation(),
  });
}
