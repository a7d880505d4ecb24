/** Durations of honest calls or logins in milliseconds. */
export interface Latencies {
  readonly count: number;
  readonly failures: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** Number of failed calls by reason. */
  readonly reasons: Readonly<Record<string, number>>;
}

export function latenciesOf(samples: readonly number[], reasons: Readonly<Record<string, number>>): Latencies {
  const sorted = [...samples].sort((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
  const failures = Object.values(reasons).reduce((sum, count) => sum + count, 0);
  return { count: sorted.length, failures, p50: at(0.5), p99: at(0.99), max: at(1), reasons };
}
