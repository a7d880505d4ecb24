/** Results as Markdown tables, for the terminal and for documents. */
import { formatNumber, formatTable } from "./format.ts";
import type { Verdict } from "./goals.ts";
import { type Absence, baselineRatio, type Row, rowRatio, rowSummary } from "./results.ts";

/** Titles of peers by name. */
export type Titles = ReadonlyMap<string, string>;

const OURS = "netconduit";

/** The distinct values of a property, in order of appearance. */
export function distinct<T>(items: readonly T[], of: (item: T) => string): string[] {
  return [...new Set(items.map(of))];
}

/** Every number of one scenario on one pair: median, range, ratio to the baseline, and netconduit's ratio to it. */
export function detailTable(rows: readonly Row[], all: readonly Row[], titles: Titles): string {
  const isRanged = rows.some(({ samples }) => samples.length > 1);
  const cells = rows.map((row) => {
    const summary = rowSummary(row);
    const baseline = baselineRatio(all, row);
    const ours = row.peer === OURS ? null : oursOver(all, row);
    return [
      labelOf(row),
      titles.get(row.peer) ?? row.peer,
      summary === null ? "failed" : formatNumber(summary.median),
      row.unit,
      ...(isRanged ? [summary === null ? "" : `${formatNumber(summary.min)} – ${formatNumber(summary.max)}`] : []),
      baseline === null ? "" : `${formatNumber(baseline.ratio)} × ${baseline.to}`,
      ours === null ? "" : formatNumber(ours),
    ];
  });
  const order = distinct(rows, columnOf);
  const sorted = cells
    .map((cell, index) => ({ cell, rank: order.indexOf(`${cell[0]}, ${cell[3]}`), index }))
    .sort((a, b) => a.rank - b.rank || a.index - b.index);
  return formatTable(
    [
      "",
      "peer",
      isRanged ? "median" : "once",
      "unit",
      ...(isRanged ? ["range"] : []),
      "to the baseline",
      "netconduit ÷ it",
    ],
    sorted.map(({ cell }) => cell),
    2,
  );
}

function oursOver(all: readonly Row[], row: Row): number | null {
  const ours = all.find(
    (other) =>
      other.peer === OURS &&
      other.scenario === row.scenario &&
      other.variant === row.variant &&
      other.metric === row.metric &&
      other.pair === row.pair,
  );
  return ours === undefined ? null : (rowRatio(all, ours, row.peer)?.median ?? null);
}

/** Medians of one scenario on one pair: a line for each peer, a column for each number. */
export function medianTable(rows: readonly Row[], absences: readonly Absence[], titles: Titles): string {
  const columns = distinct(rows, columnOf);
  const peers = distinct(rows, (row) => row.peer);
  const lines = peers.map((peer) => [
    titles.get(peer) ?? peer,
    ...columns.map((column) => {
      const row = rows.find((candidate) => candidate.peer === peer && columnOf(candidate) === column);
      const summary = row === undefined ? null : rowSummary(row);
      return summary === null ? "—" : formatNumber(summary.median);
    }),
  ]);
  for (const { peer, variant } of absences) {
    if (variant === null && !peers.includes(peer)) lines.push([titles.get(peer) ?? peer, ...columns.map(() => "—")]);
  }
  return formatTable(["", ...columns], lines);
}

/** Returns `64 in flight, p50`: the variant, and the metric if the unit alone is ambiguous. */
export function labelOf({ variant, metric, unit }: Pick<Row, "variant" | "metric" | "unit">): string {
  return unit === "µs" ? `${variant}, ${metric.replace("p999", "p99.9")}` : variant;
}

function columnOf(row: Row): string {
  return `${labelOf(row)}, ${row.unit}`;
}

/** One line for each absence. */
export function absenceLines(absences: readonly Absence[], titles: Titles): string[] {
  return absences.map(({ peer, pair, variant, reason }) => {
    const where = variant === null || variant === "" ? "" : `, ${variant}`;
    return `${titles.get(peer) ?? peer} (${pair}${where}): ${reason.split("\n")[0]}`;
  });
}

/** The goals and their verdicts. @param isRough omits the verdicts, because the samples are too short */
export function goalTable(verdicts: readonly Verdict[], isRough = false): string {
  return formatTable(
    ["goal", "bound", "measured", isRough ? "in a full run" : ""],
    verdicts.map(({ goal, actual, state }) => {
      return [
        goal.text,
        `${goal.bound} ${goal.value}`,
        actual === null ? "—" : formatNumber(actual),
        isRough ? "" : state,
      ];
    }),
    2,
  );
}
