/** How far a transfer is. */
export interface FileProgress {
  /**
   * `moving`: bytes are sent and hashed. `waiting`: the transfer broke off, and goes on when the peer is connected again.
   * `checking`: the receiving side reads what it has, to hash it.
   */
  readonly phase: "moving" | "waiting" | "checking";
  /** Bytes of the file that are done, those of earlier attempts included. */
  readonly bytes: number;
  /** Bytes that earlier attempts had transferred: this call's, too. */
  readonly resumedFrom: number;
  /** Size of the file; null if it isn't known. */
  readonly total: number | null;
  /** Rate of this attempt, over the last seconds. */
  readonly bytesPerSecond: number;
  /** Milliseconds that the rest takes at that rate; null if it isn't known. */
  readonly etaMs: number | null;
}

const REPORT_MS = 100;
/** The rate is that of the last so many reports. */
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

  /** An attempt begins. */
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

  /** The attempt has failed, and the next one waits for the peer. */
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

/** Null if that isn't known. */
function timeFor(bytes: number | null, bytesPerSecond: number): number | null {
  return bytes === null || bytesPerSecond <= 0 ? null : Math.round((bytes * 1000) / bytesPerSecond);
}
