/**
 * Merges repeated reports. The first of a kind passes at once; those that follow within the window are counted, and the
 * next one after it passes with their number. So a flood of failures costs one report per kind and window.
 */
/** Further kinds count as one, since a peer may choose them. */
const MAX_KINDS = 100;

export class ReportWindows<Report> {
  readonly #windowMs: number;
  readonly #kinds = new Map<number | string, { openedAtMs: number; merged: number; last: Report }>();

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  /**
   * Returns how many reports this one stands for, itself included; 0 if it was merged.
   * @param count how many this report stands for already
   */
  add(kind: number | string, report: Report, nowMs: number, count = 1): number {
    const key = this.#kinds.has(kind) || this.#kinds.size < MAX_KINDS ? kind : "";
    const window = this.#kinds.get(key);
    if (window === undefined) {
      this.#kinds.set(key, { openedAtMs: nowMs, merged: 0, last: report });
      return count;
    }
    window.last = report;
    window.merged += count;
    if (nowMs - window.openedAtMs < this.#windowMs) return 0;
    const { merged } = window;
    window.openedAtMs = nowMs;
    window.merged = 0;
    return merged;
  }

  /** Removes all kinds. Returns the last report of each that was merged, with the number it stands for. */
  end(): { readonly report: Report; readonly count: number }[] {
    const rest = [...this.#kinds.values()].filter(({ merged }) => merged > 0);
    this.#kinds.clear();
    return rest.map(({ last, merged }) => ({ report: last, count: merged }));
  }
}
