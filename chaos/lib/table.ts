/** Formats the results of runs as a Markdown table. */
import type { RunResult } from "./pair-run.ts";

const COLUMNS = [
  "Server",
  "Client",
  "Run",
  "Ids",
  "Cuts",
  "in a login",
  "silent",
  "Partitions",
  "Late logins",
  "Double dials",
  "Stopped",
  "Killed",
  "Resumed",
  "Lost",
  "Double",
  "Out of order",
  "Faults",
  "Handled again",
  "Lost with a process",
] as const;

export const HEADING: string = [
  `| ${COLUMNS.join(" | ")} |`,
  `| --- | --- | --- |${" ---: |".repeat(COLUMNS.length - 3)}`,
].join("\n");

function figure(value: number): string {
  return value.toLocaleString("en-US");
}

export function rowOf({ options, tally, forwarder, partitions, stops, kills, resumes, faults }: RunResult): string {
  const figures = [
    tally.received,
    forwarder.cuts,
    forwarder.cutLogins,
    forwarder.silences,
    partitions,
    forwarder.lateLogins,
    forwarder.duplicates,
    stops,
    kills,
    resumes,
    tally.lost,
    tally.double,
    tally.disordered,
    faults.length,
    tally.again,
    tally.unpromised,
  ];
  return `| ${[options.server, options.client, options.mode, ...figures.map(figure)].join(" | ")} |`;
}

/** The problems of a run as text; empty if there are none. */
export function problemsOf({ tally, faults }: RunResult): string[] {
  const wrong = tally.lost + tally.double + tally.disordered;
  return [...(wrong > 0 ? [`${wrong} ids are wrong: ${tally.examples.join("; ")}`] : []), ...faults];
}

/** Server, client and run. */
function keyOf(row: string): string {
  return row.split("|").slice(1, 4).join("|");
}

/** Returns the document with the row of the same pair and run replaced, or with this row appended. */
export function withRow(document: string, row: string): string {
  const lines = document.split("\n");
  const heading = lines.indexOf(HEADING.split("\n")[0] as string);
  if (heading < 0) throw new Error("The document has no table with these columns");
  let end = heading + 2;
  while (lines[end]?.startsWith("|") === true) end += 1;
  const rows = lines.slice(heading + 2, end);
  const at = rows.findIndex((one) => keyOf(one) === keyOf(row));
  if (at < 0) rows.push(row);
  else rows[at] = row;
  return [...lines.slice(0, heading + 2), ...rows, ...lines.slice(end)].join("\n");
}
