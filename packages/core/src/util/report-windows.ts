/**
 * Merges repeated reports. The first of a kind passes at once; those that follow within the window are counted, and the
 * next one after it passes with their number. So a flood of failures costs one report per kind and window.
 */
export class ReportWindows<Report> {
  readonly #windowMs: number;
  readonly #kinds = new Map<number | string, { openedAtMs: number; merged: number; last: Report }>();

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  /** Returns how many reports this one stands for, itself included; 0 if it was merged. */
  add(kind: number | string, report: Report, nowMs: number): number {
    const window = this.#kinds.get(kind);
    if (window === undefined) {
      this.#kinds.set(kind, { openedAtMs: nowMs, merged: 0, last: report });
      return 1;
    }
    window.last = report;
    window.merged += 1;
    if (nowMs - window.openedAtMs < this.#windowMs) return 0;
    const count = window.merged;
    window.openedAtMs = nowMs;
    window.merged = 0;
    return count;
  }

  /** Removes all kinds. Returns the last report of each that was merged, with the number it stands for. */
  end(): { readonly report: Report; readonly count: number }[] {
    const rest = [...this.#kinds.values()].filter(({ merged }) => merged > 0);
    this.#kinds.clear();
    return rest.map(({ last, merged }) => ({ report: last, count: merged }));
  }
}
