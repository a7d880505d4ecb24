/** Maximum number of names to keep. */
const MAX_NAMES = 32;

/**
 * Counts the frames that a connection has sent by `send` and `callNoWait`. They arrive in the order of sending, so
 * the number that a peer has accepted identifies them.
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
   * Returns the messages and calls that the peer hasn't accepted; null if it has accepted all.
   * @param taken number accepted by the peer
   */
  notTaken(taken: number): NotTaken | null {
    const count = this.#count - taken;
    return count > 0 ? { count, names: this.#names.slice(-Math.min(count, MAX_NAMES)) } : null;
  }
}

/** The last sent messages and calls, which the peer hasn't accepted. */
export interface NotTaken {
  readonly count: number;
  /** Their message types and methods, oldest first; at most the last 32. */
  readonly names: readonly string[];
}
