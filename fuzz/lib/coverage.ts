import { Buffer } from "node:buffer";
import { Session } from "node:inspector";

interface Range {
  readonly startOffset: number;
  readonly endOffset: number;
  readonly count: number;
}

interface CoverageReport {
  readonly result: readonly {
    readonly url: string;
    readonly functions: readonly { readonly ranges: readonly Range[] }[];
  }[];
}

/**
 * Tracks which source code of the library has run, by V8's counts. V8 merges blocks with equal counts, so blocks have
 * no stable boundaries: each function has a map of its characters instead.
 */
export class Coverage {
  readonly #session = new Session();
  readonly #reached = new Map<string, Uint8Array>();
  #characters = 0;

  start(): void {
    this.#session.connect();
    this.#session.post("Profiler.enable");
    this.#session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
    this.#report();
  }

  /** Number of source characters that have run so far. */
  get characters(): number {
    return this.#characters;
  }

  /** Clears the recorded coverage. */
  reset(): void {
    this.#report();
    this.#reached.clear();
    this.#characters = 0;
  }

  /** Records the code that ran since the last call. Returns the number of characters that ran for the first time. */
  take(): number {
    const before = this.#characters;
    for (const [key, ran] of this.#ran()) {
      const known = this.#reached.get(key) ?? new Uint8Array(ran.length);
      this.#reached.set(key, known);
      // Most functions have no new coverage. Skip them quickly, because V8 counts the loops below as well.
      if (Buffer.compare(ran, known) === 0) continue;
      for (let at = 0; at < ran.length; at += 1) {
        if ((ran[at] as number) <= (known[at] as number)) continue;
        known[at] = 1;
        this.#characters += 1;
      }
    }
    return this.#characters - before;
  }

  /** Like `take`, but records nothing. Returns whether new characters ran. */
  hasNew(): boolean {
    for (const [key, ran] of this.#ran()) {
      const known = this.#reached.get(key);
      if (known === undefined) return true;
      if (Buffer.compare(ran, known) !== 0 && ran.some((has, at) => has > (known[at] as number))) return true;
    }
    return false;
  }

  /** Yields the functions that ran since the last call, each with a map of its characters. */
  *#ran(): Iterable<readonly [key: string, ran: Uint8Array]> {
    for (const { url, functions } of this.#report().result) {
      if (!url.includes("/packages/core/src/") && !url.includes("/fuzz/targets/")) continue;
      for (const { ranges } of functions) {
        const [whole] = ranges;
        if (whole === undefined || whole.count === 0) continue;
        const ran = new Uint8Array(whole.endOffset - whole.startOffset);
        // Inner ranges come after outer ones.
        for (const { startOffset, endOffset, count } of ranges) {
          ran.fill(count > 0 ? 1 : 0, startOffset - whole.startOffset, endOffset - whole.startOffset);
        }
        yield [`${url}:${whole.startOffset}:${whole.endOffset}`, ran];
      }
    }
  }

  #report(): CoverageReport {
    let report: CoverageReport = { result: [] };
    // The callback runs synchronously.
    this.#session.post("Profiler.takePreciseCoverage", (error, taken) => {
      if (error !== null) throw error;
      report = taken as CoverageReport;
    });
    return report;
  }
}
