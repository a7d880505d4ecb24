/** Calls to check at one heartbeat of a node. */
const MAX_CHECKED = 1000;

/** Open calls to or from other runs, with the time when each was last checked. */
export class OpenCalls {
  readonly #now: () => number;
  /** By epoch and id, oldest first. */
  readonly #sinceMs = new Map<string, Map<number, number>>();

  /** @param now monotonic milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  add(epoch: string, id: number): void {
    const calls = this.#sinceMs.get(epoch) ?? new Map<number, number>();
    this.#sinceMs.set(epoch, calls.set(id, this.#now()));
  }

  delete(epoch: string, id: number): void {
    const calls = this.#sinceMs.get(epoch);
    calls?.delete(id);
    if (calls?.size === 0) this.#sinceMs.delete(epoch);
  }

  /** Epochs of runs with open calls. */
  get epochs(): string[] {
    return [...this.#sinceMs.keys()];
  }

  clear(): void {
    this.#sinceMs.clear();
  }

  /** Returns calls that were started or last checked at least this long ago, and marks them as checked. */
  takeDue(epoch: string, ageMs: number): number[] {
    const calls = this.#sinceMs.get(epoch);
    const now = this.#now();
    const due: number[] = [];
    for (const [id, sinceMs] of calls ?? []) {
      if (now - sinceMs < ageMs || due.length === MAX_CHECKED) break;
      due.push(id);
    }
    for (const id of due) {
      calls?.delete(id);
      calls?.set(id, now);
    }
    return due;
  }
}
