/** Statistics reported by the bench. */

/** Median and the range of the samples. */
export interface Summary {
  readonly median: number;
  readonly min: number;
  readonly max: number;
  readonly samples: number;
}

/**
 * Returns the `percent`-th percentile of samples in ascending order: the smallest sample such that at least that
 * share is less than or equal to it. Doesn't interpolate.
 */
export function percentile(sorted: ArrayLike<number>, percent: number): number {
  if (sorted.length === 0) throw new RangeError("A percentile needs at least one sample");
  const rank = Math.ceil((percent / 100) * sorted.length);
  return sorted[Math.min(Math.max(rank, 1), sorted.length) - 1] as number;
}

/** The middle sample, or the mean of the two middle ones. */
export function median(samples: readonly number[]): number {
  if (samples.length === 0) throw new RangeError("A median needs at least one sample");
  const sorted = samples.toSorted((a, b) => a - b);
  const middle = sorted.length >>> 1;
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
}

export function summarize(samples: readonly number[]): Summary {
  return { median: median(samples), min: Math.min(...samples), max: Math.max(...samples), samples: samples.length };
}

/**
 * Median and range of the ratios of `samples` to `baseline`, round by round. Samples with the same index were taken
 * close together, so that a slower machine affects both. Null if no round has both.
 */
export function pairedRatio(samples: readonly (number | null)[], baseline: readonly (number | null)[]): Summary | null {
  const ratios: number[] = [];
  for (let i = 0; i < Math.min(samples.length, baseline.length); i++) {
    const sample = samples[i] ?? null;
    const base = baseline[i] ?? null;
    if (sample !== null && base !== null && base !== 0) ratios.push(sample / base);
  }
  return ratios.length === 0 ? null : summarize(ratios);
}
