/** Distinguishes growth from noise: compares the medians of the first and the last third of a series. */

/** Fraction of initial samples that are ignored, because code is being compiled and caches are filling. */
const WARM_UP = 0.2;

export interface Growth {
  readonly first: number;
  readonly last: number;
  readonly isFlat: boolean;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] as number;
}

/**
 * @param samples at least 10
 * @param slack tolerated growth
 */
export function growthOf(samples: readonly number[], slack: number): Growth {
  if (samples.length < 10) throw new RangeError(`${samples.length} samples are too few to tell growth`);
  const counted = samples.slice(Math.floor(samples.length * WARM_UP));
  const third = Math.floor(counted.length / 3);
  const first = median(counted.slice(0, third));
  const last = median(counted.slice(-third));
  return { first, last, isFlat: last - first <= slack };
}
