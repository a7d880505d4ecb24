import type { AttackResult } from "./run-attack.ts";

export const HEADING = `| Attack | Server | p50 before → beside, ms | p99 before → beside, ms | Failed | Memory before → peak, MiB | The attacker |
| --- | --- | --- | --- | --- | --- | --- |`;

function ms(value: number | null): string {
  return value === null || Number.isNaN(value) ? "–" : value.toFixed(value < 10 ? 2 : 0);
}

function counts(events: Readonly<Record<string, number>>): string {
  return Object.entries(events)
    .sort(([, a], [, b]) => b - a)
    .map(([event, count]) => (count === 1 ? event : `${event} × ${count}`))
    .join(", ");
}

/** One row of the table. */
export function rowOf(result: AttackResult): string {
  const { name, runtime, before, beside, memoryMiB, peakMiB, outcome, exit, errorBytes } = result;
  const failed =
    beside.failures === 0
      ? `0 of ${beside.count}`
      : `${beside.failures} of ${beside.count + beside.failures} (${counts(beside.reasons)})`;
  const sent = `sent ${outcome.sentMiB.toFixed(1)} MiB`;
  const warned = errorBytes > 0 ? `; ${(errorBytes / 1024).toFixed(1)} KiB on stderr` : "";
  const guesses = (result.server?.authFailures ?? 0) > 0 ? `; ${result.server?.authFailures} guesses judged` : "";
  const happened = counts(outcome.events) || "nothing";
  const fate = exit === null ? `${sent}; ${happened}${guesses}${warned}` : `SERVER ENDED: ${exit.split("\n")[0]}`;
  const cells = [
    name,
    runtime,
    `${ms(before.p50)} → ${ms(beside.p50)}`,
    `${ms(before.p99)} → ${ms(beside.p99)}`,
    failed,
    `${memoryMiB} → ${peakMiB}`,
    fate,
  ];
  return `| ${cells.join(" | ")} |`;
}
