/** More names than that aren't kept. */
const MAX_NAMES = 32;

/**
 * Counts the frames that one connection has sent by `send` and `callNoWait`. Such frames arrive in the order in which they were sent, so a
 * peer that says how many it took has said which.
 */
export class ReportedSends {
  #count = 0;
  readonly #names: string[] = [];

  add(name: string): void {
    this.#count += 1;
    this.#names.push(name);
    if (this.#names.length === 2 * MAX_NAMES) this.#names.splice(0, MAX_NAMES);
  }

  /**
   * Returns what the peer didn't take; null if it took everything.
   * @param taken how many it took
   */
  notTaken(taken: number): NotTaken | null {
    const count = this.#count - taken;
    return count > 0 ? { count, names: this.#names.slice(-Math.min(count, MAX_NAMES)) } : null;
  }
}

/** The last messages and calls that were sent. */
export interface NotTaken {
  readonly count: number;
  /** Their message types and methods, oldest first; of more than 32, only the last. */
  readonly names: readonly string[];
}
