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
 * Tracks which source of the library has run, as V8 counts it. V8 joins blocks that ran equally often, so blocks have
 * no lasting borders: each function has a map of its characters instead.
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

  /** Characters of source that have run so far. */
  get characters(): number {
    return this.#characters;
  }

  /** Forgets what it has seen. */
  reset(): void {
    this.#report();
    this.#reached.clear();
    this.#characters = 0;
  }

  /** How many characters have run since the last call that never ran before. */
  take(): number {
    const before = this.#characters;
    for (const [key, ran] of this.#ran()) {
      const known = this.#reached.get(key) ?? new Uint8Array(ran.length);
      this.#reached.set(key, known);
      // Most functions run as before. V8 counts these loops, too, which makes them slow.
      if (Buffer.compare(ran, known) === 0) continue;
      for (let at = 0; at < ran.length; at += 1) {
        if ((ran[at] as number) <= (known[at] as number)) continue;
        known[at] = 1;
        this.#characters += 1;
      }
    }
    return this.#characters - before;
  }

  /** As `take`, but nothing is remembered. */
  hasNew(): boolean {
    for (const [key, ran] of this.#ran()) {
      const known = this.#reached.get(key);
      if (known === undefined) return true;
      if (Buffer.compare(ran, known) !== 0 && ran.some((has, at) => has > (known[at] as number))) return true;
    }
    return false;
  }

  /** The functions that ran since the last call, each with a map of its characters. */
  *#ran(): Iterable<readonly [key: string, ran: Uint8Array]> {
    for (const { url, functions } of this.#report().result) {
      if (!url.includes("/packages/core/src/") && !url.includes("/fuzz/targets/")) continue;
      for (const { ranges } of functions) {
        const [whole] = ranges;
        if (whole === undefined || whole.count === 0) continue;
        const ran = new Uint8Array(whole.endOffset - whole.startOffset);
        // Inner ranges follow outer ones.
        for (const { startOffset, endOffset, count } of ranges) {
          ran.fill(count > 0 ? 1 : 0, startOffset - whole.startOffset, endOffset - whole.startOffset);
        }
        yield [`${url}:${whole.startOffset}:${whole.endOffset}`, ran];
      }
    }
  }

  #report(): CoverageReport {
    let report: CoverageReport = { result: [] };
    // Calls back before it returns.
    this.#session.post("Profiler.takePreciseCoverage", (error, taken) => {
      if (error !== null) throw error;
      report = taken as CoverageReport;
    });
    return report;
  }
}
