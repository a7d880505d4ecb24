/** A transfer's progress. */
export interface FileProgress {
  /**
   * `moving`: bytes are being transferred and hashed. `waiting`: the transfer was interrupted, and continues when the
   * peer is connected again. `checking`: the receiving side is hashing the data that it already has.
   */
  readonly phase: "moving" | "waiting" | "checking";
  /** Number of bytes done, including earlier attempts. */
  readonly bytes: number;
  /** Number of bytes transferred by earlier attempts, including those of this call. */
  readonly resumedFrom: number;
  /** Size of the file; null if unknown. */
  readonly total: number | null;
  /** Rate of this attempt, over the last seconds. */
  readonly bytesPerSecond: number;
  /** Estimated remaining milliseconds at that rate; null if unknown. */
  readonly etaMs: number | null;
}

const REPORT_MS = 100;
/** Number of reports over which the rate is averaged. */
const WINDOW_REPORTS = 30;

/** Reports progress a few times per second, and its end. */
export class ProgressReporter {
  readonly #report: ((progress: FileProgress) => void) | undefined;
  readonly #now: () => number;
  #phase: FileProgress["phase"] = "moving";
  #total: number | null = null;
  #bytes = 0;
  #resumedFrom = 0;
  #samples: { readonly ms: number; readonly bytes: number }[] = [];

  constructor(report: ((progress: FileProgress) => void) | undefined, now: () => number) {
    this.#report = report;
    this.#now = now;
  }

  /** An attempt has started. */
  begins(total: number | null, offset: number): void {
    this.#phase = "moving";
    this.#total = total;
    this.#bytes = offset;
    this.#resumedFrom = offset;
    this.#samples = [{ ms: this.#now(), bytes: offset }];
  }

  moved(bytes: number): void {
    this.#progress("moving", bytes);
  }

  checked(bytes: number): void {
    this.#progress("checking", bytes);
  }

  /** The attempt has failed, and the next one is waiting for the peer. */
  waits(): void {
    this.#phase = "waiting";
    this.#samples = [];
    this.#send(this.#now());
  }

  /** The file is complete. */
  ended(bytes: number): void {
    this.#total = bytes;
    this.#bytes = bytes;
    this.#send(this.#now());
  }

  #progress(phase: FileProgress["phase"], bytes: number): void {
    if (this.#report === undefined) return;
    const ms = this.#now();
    if (phase !== this.#phase) {
      this.#phase = phase;
      this.#samples = [{ ms, bytes: 0 }];
    }
    this.#bytes = bytes;
    const last = this.#samples.at(-1);
    if (last !== undefined && ms - last.ms < REPORT_MS) return;
    this.#send(ms);
    this.#samples.push({ ms, bytes });
    if (this.#samples.length > WINDOW_REPORTS) this.#samples.shift();
  }

  #send(ms: number): void {
    const first = this.#samples[0] ?? { ms, bytes: this.#bytes };
    const elapsedMs = ms - first.ms;
    const bytesPerSecond = elapsedMs > 0 ? Math.round(((this.#bytes - first.bytes) * 1000) / elapsedMs) : 0;
    const total = this.#total;
    const left = total === null ? null : Math.max(0, total - this.#bytes);
    const etaMs = left === 0 ? 0 : timeFor(left, bytesPerSecond);
    const [phase, bytes, resumedFrom] = [this.#phase, this.#bytes, this.#resumedFrom];
    this.#report?.({ phase, bytes, resumedFrom, total, bytesPerSecond, etaMs });
  }
}

/** Null if unknown. */
function timeFor(bytes: number | null, bytesPerSecond: number): number | null {
  return bytes === null || bytesPerSecond <= 0 ? null : Math.round((bytes * 1000) / bytesPerSecond);
}
