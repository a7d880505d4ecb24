/** The table of attacks in SECURITY.md. */
import type { AttackResult } from "./run-attack.ts";

export const HEADING = `| Attack | Server | p50 before → beside, ms | p99 before → beside, ms | Failed | RSS before → peak, MiB | What happened |
| --- | --- | --- | --- | --- | --- | --- |`;

export const BEGIN = "<!-- attacks:begin -->";
export const END = "<!-- attacks:end -->";

/** Limits of honest calls during an attack: the ratio of their medians to the time before it, and milliseconds. */
const MAX_P50_RATIO = 3;
const MAX_P99_MS = 50;
/** Logins run one at a time, and at least 29 of 30 must succeed. */
const MAX_FAILED_SHARE = 1 / 30;

/** Code of clients that disconnected themselves. */
const LEFT = "CONNECTION_CLOSED";
const MAX_COUNTS = 6;

function ms(value: number | null): string {
  return value === null || Number.isNaN(value) ? "–" : value.toFixed(value < 10 ? 2 : 0);
}

function counts(events: Readonly<Record<string, number>>): string {
  const sorted = Object.entries(events).sort(([, a], [, b]) => b - a);
  const shown = sorted.slice(0, MAX_COUNTS).map(([event, count]) => (count === 1 ? event : `${event} × ${count}`));
  return [...shown, ...(sorted.length > MAX_COUNTS ? ["…"] : [])].join(", ");
}

/** The last column. */
function fate({ outcome, exit, errorBytes, server }: AttackResult): string {
  if (exit !== null) return `SERVER ENDED: ${exit.split("\n")[0]}`;
  const { [LEFT]: _, ...ended } = server?.disconnects ?? {};
  const dials = server?.dials ?? {};
  return [
    `attacker sent ${outcome.sentMiB.toFixed(1)} MiB`,
    counts(outcome.events) || "nothing happened to it",
    ...(Object.keys(ended).length > 0 ? [`the server ended ${counts(ended)}`] : []),
    ...(Object.keys(dials).length > 0 ? [`its clients saw ${counts(dials)}`] : []),
    ...((server?.authFailures ?? 0) > 0 ? [`${server?.authFailures} guesses judged`] : []),
    ...(server === null ? ["the server did not answer afterwards"] : []),
    ...(errorBytes > 0 ? [`${(errorBytes / 1024).toFixed(1)} KiB on stderr`] : []),
  ].join("; ");
}

/** Formats a row of the table. */
export function rowOf(result: AttackResult): string {
  const { name, runtime, before, beside, memoryMiB, peakMiB } = result;
  const failed =
    beside.failures === 0
      ? `0 of ${beside.count}`
      : `${beside.failures} of ${beside.count + beside.failures} (${counts(beside.reasons)})`;
  const cells = [
    name,
    runtime,
    `${ms(before.p50)} → ${ms(beside.p50)}`,
    `${ms(before.p99)} → ${ms(beside.p99)}`,
    failed,
    `${memoryMiB} → ${peakMiB}`,
    fate(result),
  ];
  return `| ${cells.join(" | ")} |`;
}

/** Returns the goals that a result misses; empty if it meets all. */
export function missesOf({ does, before, beside, exit, server }: AttackResult): string[] {
  if (exit !== null || server === null) return ["the server ended or hung"];
  const misses: string[] = [];
  const all = beside.count + beside.failures;
  if (does === "calls" && beside.p50 > MAX_P50_RATIO * before.p50) {
    misses.push(`p50 ${(beside.p50 / before.p50).toFixed(1)} ×`);
  }
  if (does === "calls" && beside.p99 >= MAX_P99_MS) misses.push(`p99 ${ms(beside.p99)} ms`);
  if (beside.failures > Math.max(does === "logins" ? 1 : 0, all * MAX_FAILED_SHARE)) {
    misses.push(`${beside.failures} of ${all} failed`);
  }
  return misses;
}

/**
 * Returns the document with these rows between its markers. Keeps rows of other attacks and runtimes; `order` lists
 * all allowed rows by attack and runtime.
 */
export function withTable(
  document: string,
  about: string,
  results: readonly AttackResult[],
  order: readonly (readonly [name: string, runtime: string])[],
): string {
  const start = document.indexOf(BEGIN) + BEGIN.length;
  const end = document.indexOf(END);
  if (start < BEGIN.length || end < start) throw new Error(`There is no '${BEGIN}' with '${END}' behind it`);
  const key = (name: string, runtime: string): string => `| ${name} | ${runtime} |`;
  const lines = document.slice(start, end).split("\n");
  const rows = order.flatMap(([name, runtime]) => {
    const fresh = results.find((one) => one.name === name && one.runtime === runtime);
    const old = lines.find((line) => line.startsWith(key(name, runtime)));
    return fresh === undefined ? (old ?? []) : rowOf(fresh);
  });
  return `${document.slice(0, start)}\n\n${about}\n\n${HEADING}\n${rows.join("\n")}\n\n${document.slice(end)}`;
}
