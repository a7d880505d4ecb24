/** Results of a run, as written to JSON. */
import type { Metric } from "./scenario.ts";
import { pairedRatio, type Summary, summarize } from "./statistics.ts";

/** All samples of one number. */
export interface Row {
  readonly scenario: string;
  readonly variant: string;
  readonly metric: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
  /** `node`, or `node-bun`, the server first. */
  readonly pair: string;
  readonly peer: string;
  /** One sample per round; null if it failed. Samples with the same index were taken in the same round. */
  readonly samples: (number | null)[];
}

/** A measurement that is missing in at least one round, and the reason. */
export interface Absence {
  readonly scenario: string;
  readonly pair: string;
  readonly peer: string;
  /** Null for the whole scenario. */
  readonly variant: string | null;
  readonly reason: string;
}

/** The machine and the versions of a run. */
export interface Environment {
  readonly cpu: string;
  readonly cores: number;
  readonly memoryGiB: number;
  readonly system: string;
  /** Load average of the minute before the run. */
  readonly load: number;
  readonly runtimes: Readonly<Record<string, string>>;
  readonly peers: Readonly<Record<string, string>>;
}

export interface BenchResults {
  readonly startedAt: string;
  readonly seconds: number;
  readonly quick: boolean;
  readonly environment: Environment;
  readonly rows: readonly Row[];
  readonly absences: readonly Absence[];
}

/** Baselines: others are compared to the first that has the number. */
const BASELINES = ["raw", "bare"] as const;

/** Collects rows and absences during a run. */
export class ResultTable {
  readonly rows: Row[] = [];
  readonly absences: Absence[] = [];

  /** Adds the sample of one round. */
  add(where: Pick<Row, "scenario" | "variant" | "pair" | "peer">, metric: Metric, round: number, value: number): void {
    let row = findRow(this.rows, { ...where, metric: metric.name });
    if (row === undefined) {
      row = { ...where, metric: metric.name, unit: metric.unit, better: metric.better, samples: [] };
      this.rows.push(row);
    }
    while (row.samples.length < round) row.samples.push(null);
    row.samples[round] = value;
  }

  /** Records why a measurement is missing; only the first reason is kept. */
  addAbsence(absence: Absence): void {
    const known = this.absences.some(
      (other) =>
        other.scenario === absence.scenario &&
        other.pair === absence.pair &&
        other.peer === absence.peer &&
        other.variant === absence.variant,
    );
    if (!known) this.absences.push(absence);
  }
}

type Key = Pick<Row, "scenario" | "variant" | "metric" | "pair" | "peer">;

export function findRow(rows: readonly Row[], key: Key): Row | undefined {
  return rows.find(
    (row) =>
      row.scenario === key.scenario &&
      row.variant === key.variant &&
      row.metric === key.metric &&
      row.pair === key.pair &&
      row.peer === key.peer,
  );
}

/** Median and range of a row; null if every round failed. */
export function rowSummary(row: Row): Summary | null {
  const samples = row.samples.filter((sample) => sample !== null);
  return samples.length === 0 ? null : summarize(samples);
}

/** The ratio of a row to the same number of another peer, round by round. */
export function rowRatio(rows: readonly Row[], row: Row, toPeer: string): Summary | null {
  const other = findRow(rows, { ...row, peer: toPeer });
  return other === undefined ? null : pairedRatio(row.samples, other.samples);
}

/** The ratio of a row to its baseline: `raw`, or `bare` if raw doesn't have the feature. */
export function baselineRatio(rows: readonly Row[], row: Row): { readonly to: string; readonly ratio: number } | null {
  for (const to of BASELINES) {
    const ratio = rowRatio(rows, row, to);
    if (ratio !== null) return { to, ratio: ratio.median };
  }
  return null;
}
