/** A run's output: JSON, charts, tables, and the generated parts of the documents. */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { barChart } from "./chart.ts";
import { formatNumber, wrap } from "./format.ts";
import { judge } from "./goals.ts";
import type { Peer } from "./peer.ts";
import { replaceBetweenMarkers } from "./readme.ts";
import { type BenchResults, type Row, rowSummary } from "./results.ts";
import type { Scenario } from "./scenario.ts";
import { speedSummary } from "./speed.ts";
import { absenceLines, detailTable, distinct, goalTable, labelOf, medianTable, type Titles } from "./tables.ts";

export const COLUMNS = 120;
const OURS = ["netconduit"];
const BASELINES = ["raw", "bare"];
const PAIR_TITLES = new Map([
  ["node", "Node"],
  ["bun", "Bun"],
  ["deno", "Deno"],
]);

/** `Node`, or `Node server, Bun client`. */
export function pairTitle(pair: string): string {
  const [server = "", client] = pair.split("-");
  const title = (name: string): string => PAIR_TITLES.get(name) ?? name;
  return client === undefined ? title(server) : `${title(server)} server, ${title(client)} client`;
}

/** The rows of one scenario on one pair. */
export interface Section {
  readonly scenario: Scenario;
  readonly pair: string;
  readonly rows: readonly Row[];
}

/** Splits results into sections, in the order of the scenarios. */
export function sections(results: BenchResults, scenarios: readonly Scenario[]): Section[] {
  return scenarios.flatMap((scenario) => {
    const rows = results.rows.filter((row) => row.scenario === scenario.name);
    return distinct(rows, (row) => row.pair).map((pair) => ({
      scenario,
      pair,
      rows: rows.filter((row) => row.pair === pair),
    }));
  });
}

function chartOf({ scenario, pair, rows }: Section, titles: Titles): string {
  const groups = distinct(rows, ({ variant, metric, unit }) => `${variant}|${metric}|${unit}`).map((key) => {
    const [variant = "", metric = "", unit = ""] = key.split("|");
    const chosen = rows.filter((row) => row.variant === variant && row.metric === metric);
    const better = chosen[0]?.better === "higher" ? "more is better" : "less is better";
    return {
      title: `${labelOf({ variant, metric, unit })}: ${unit}, ${better}`,
      bars: chosen.flatMap((row) => {
        const summary = rowSummary(row);
        if (summary === null) return [];
        const kind = OURS.includes(row.peer) ? "ours" : BASELINES.includes(row.peer) ? "baseline" : "other";
        const label = titles.get(row.peer) ?? row.peer;
        return [{ label, value: summary.median, min: summary.min, max: summary.max, kind } as const];
      }),
    };
  });
  return barChart(`${scenario.title} (${pairTitle(pair)})`, groups);
}

/** File name of a section's chart. */
export function chartFile({ scenario, pair }: Section): string {
  return `${scenario.name}-${pair}.svg`;
}

/** Lines about the machine and the versions. */
export function environmentLines({ environment, startedAt, seconds, quick }: BenchResults, titles: Titles): string[] {
  const { cpu, cores, memoryGiB, system, load, runtimes, peers } = environment;
  const versions = Object.entries(runtimes).map(([name, version]) => `${PAIR_TITLES.get(name) ?? name} ${version}`);
  return [
    `${cpu}, ${cores} cores, ${memoryGiB} GiB, ${system}; load average before the run ${formatNumber(load)}.`,
    `${versions.join(", ")}.`,
    ...Object.entries(peers)
      .filter(([name]) => name !== "raw")
      .map(([name, version]) => `${titles.get(name) ?? name} ${version.replace(`${name} `, "")};`),
    `${quick ? "Quick run" : "Run"} of ${startedAt.slice(0, 10)}, ${Math.round(seconds / 60)} minutes.`,
  ];
}

/** The full tables, as Markdown. */
export function fullReport(results: BenchResults, scenarios: readonly Scenario[], titles: Titles): string {
  const parts = ["# Results", environmentLines(results, titles).join("\n"), "## Goals", goalTable(judge(results.rows))];
  for (const section of sections(results, scenarios)) {
    parts.push(`## ${section.scenario.title}: ${pairTitle(section.pair)}`);
    parts.push(wrap(section.scenario.description, COLUMNS));
    parts.push(detailTable(section.rows, results.rows, titles));
    parts.push(...missing(results, section, titles));
  }
  return `${parts.join("\n\n")}\n`;
}

function missing({ absences }: BenchResults, { scenario, pair }: Section, titles: Titles): string[] {
  const lines = absenceLines(
    absences.filter((absence) => absence.scenario === scenario.name && absence.pair === pair),
    titles,
  );
  return lines.length === 0
    ? []
    : [`Not measured:\n\n${lines.map((line) => wrap(`- ${line}`, COLUMNS, "  ")).join("\n")}`];
}

/** The generated part of bench/README.md: goals, charts and medians. */
export function readmeReport(results: BenchResults, scenarios: readonly Scenario[], titles: Titles): string {
  const parts = [environmentLines(results, titles).join("\n"), "### Goals", goalTable(judge(results.rows))];
  const crossPairs: Row[] = [];
  for (const section of sections(results, scenarios)) {
    if (section.pair.includes("-")) {
      crossPairs.push(...section.rows);
      continue;
    }
    const title = `${section.scenario.title}: ${pairTitle(section.pair)}`;
    parts.push(
      `### ${title}`,
      wrap(section.scenario.description, COLUMNS),
      `![${title}](results/${chartFile(section)})`,
    );
    const absences = results.absences.filter(
      (absence) => absence.scenario === section.scenario.name && absence.pair === section.pair,
    );
    parts.push(medianTable(section.rows, absences, titles), ...missing(results, section, titles));
  }
  if (crossPairs.length > 0) {
    // This table compares pairs, so they replace the peers.
    const asPeers = crossPairs.map((row) => ({ ...row, peer: pairTitle(row.pair), pair: "" }));
    parts.push("### netconduit between different runtimes", medianTable(asPeers, [], titles));
  }
  return parts.join("\n\n");
}

/** Writes results.json, results.md and the charts; removes charts of earlier runs. */
export function writeResults(
  folder: string,
  results: BenchResults,
  scenarios: readonly Scenario[],
  titles: Titles,
): void {
  mkdirSync(folder, { recursive: true });
  for (const file of readdirSync(folder)) if (file.endsWith(".svg")) rmSync(join(folder, file));
  writeFileSync(join(folder, "results.json"), `${JSON.stringify(results, null, 1)}\n`);
  writeFileSync(join(folder, "results.md"), fullReport(results, scenarios, titles));
  for (const section of sections(results, scenarios)) {
    writeFileSync(join(folder, chartFile(section)), chartOf(section, titles));
  }
}

/** The list of peers: how each is used, and which documentation it follows. */
export function peerList(peers: readonly Peer[]): string {
  return peers
    .map(({ title, usage, documentation, lacks, usual, runtimes }) => {
      const missing = Object.entries(lacks).map(([feature, reason]) => `no ${feature}: ${reason}`);
      const lacking = missing.length === 0 ? "" : ` (${missing.join("; ")})`;
      const elsewhere = runtimes.server.filter((runtime) => usual?.includes(runtime) === false);
      const titles = elsewhere.map((runtime) => PAIR_TITLES.get(runtime) ?? runtime).join(" and ");
      const named = titles === "" ? "" : ` On ${titles} when \`--peers\` names it.`;
      return wrap(`- **${title}**: ${usage}${named}${lacking} [Documentation](${documentation})`, COLUMNS, "  ");
    })
    .join("\n");
}

/** Updates the generated parts of bench/README.md (peers and results) and README.md (figures). */
export function updateDocuments(
  root: string,
  peers: readonly Peer[],
  results: BenchResults,
  scenarios: readonly Scenario[],
  titles: Titles,
): void {
  const renew = (file: string, parts: Readonly<Record<string, string>>): void => {
    const path = join(root, file);
    let text = readFileSync(path, "utf8");
    for (const [name, content] of Object.entries(parts)) text = replaceBetweenMarkers(text, name, content);
    writeFileSync(path, text);
  };
  renew("bench/README.md", { peers: peerList(peers), results: readmeReport(results, scenarios, titles) });
  renew("README.md", { speed: speedSummary(results.rows, COLUMNS) });
}
