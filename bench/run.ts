/** `pnpm bench`: measures, prints tables, writes bench/results; a full run updates the documents. See README.md. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { buildIfStale } from "../scripts/lib/build-if-stale.ts";
import { type BenchArguments, readArguments, UsageError, usage } from "./lib/arguments.ts";
import { availableRuntimes, connectionsPerProcess, environment, loadAverage } from "./lib/environment.ts";
import { judge } from "./lib/goals.ts";
import { planTasks, runTask } from "./lib/harness.ts";
import type { Peer } from "./lib/peer.ts";
import { pairTitle, sections, updateDocuments, writeResults } from "./lib/report.ts";
import { type BenchResults, ResultTable } from "./lib/results.ts";
import type { Plan } from "./lib/scenario.ts";
import { absenceLines, detailTable, goalTable } from "./lib/tables.ts";
import { loadPeer, PEER_NAMES } from "./peers/index.ts";
import { SCENARIOS } from "./scenarios/index.ts";

const KNOWN = { scenarios: SCENARIOS.map(({ name }) => name), peers: PEER_NAMES };

/** Above this load, other programs affect the measurements. */
const MAX_LOAD = 0.5;

function planOf({ quick, rounds }: BenchArguments): Plan {
  const limit = connectionsPerProcess();
  return quick
    ? { quick, rounds: rounds ?? 1, seconds: 0.15, warmupSeconds: 0.1, maxConnections: Math.min(1_000, limit) }
    : { quick, rounds: rounds ?? 5, seconds: 0.5, warmupSeconds: 0.2, maxConnections: Math.min(10_000, limit) };
}

/** Shows progress: on a terminal in one line that is overwritten, elsewhere in a new line each time. */
function progressLine(): { show: (text: string) => void; clear: () => void } {
  const { isTTY, columns = 100 } = process.stderr;
  const started = performance.now();
  const show = (text: string): void => {
    const line = `${String(Math.round((performance.now() - started) / 1000)).padStart(4)} s  ${text}`;
    process.stderr.write(isTTY ? `\r\x1b[2K${line.slice(0, columns - 1)}` : `${line}\n`);
  };
  return { show, clear: () => process.stderr.write(isTTY ? "\r\x1b[2K" : "") };
}

/** The peers that can run on this machine, and the reasons why others can't. */
async function presentPeers(names: readonly string[]): Promise<{
  peers: Peer[];
  /** All peers, including those that can't run on this machine. */
  known: Peer[];
  missing: Map<string, string>;
}> {
  const peers: Peer[] = [];
  const known: Peer[] = [];
  const missing = new Map<string, string>();
  for (const name of names) {
    try {
      const peer = await loadPeer(name);
      known.push(peer);
      const reason = await peer.missing();
      if (reason === null) peers.push(peer);
      else missing.set(name, reason);
    } catch (error) {
      missing.set(name, `its module can't be loaded: ${(error as Error).message}`);
    }
  }
  return { peers, known, missing };
}

function printResults(results: BenchResults, titles: Map<string, string>): void {
  for (const section of sections(results, SCENARIOS)) {
    console.log(`\n${section.scenario.title}: ${pairTitle(section.pair)}\n`);
    console.log(detailTable(section.rows, results.rows, titles));
  }
  const absent = absenceLines(results.absences, titles);
  if (absent.length > 0) console.log(`\nNot measured:\n${[...new Set(absent)].map((line) => `- ${line}`).join("\n")}`);
  const verdicts = judge(results.rows);
  const judged = verdicts.filter(({ state }) => state !== "not measured");
  if (judged.length > 0) console.log(`\n${goalTable(judged, results.quick)}`);
  const rest = verdicts.length - judged.length;
  if (rest > 0) console.log(`\n${rest} of ${verdicts.length} goals: this run did not measure them.`);
}

async function main(args: readonly string[]): Promise<number> {
  const options = readArguments(args, KNOWN);
  if (options.help) {
    console.log(usage(KNOWN));
    return 0;
  }
  const started = performance.now();
  const startedAt = new Date().toISOString();
  const progress = progressLine();
  const load = loadAverage();
  if (load > MAX_LOAD) {
    console.error(`The load average is ${load}: other programs are running, and the numbers will be rough.`);
  }
  progress.show("building what is out of date");
  await buildIfStale();

  const plan = planOf(options);
  const runtimes = availableRuntimes();
  const { peers, known, missing } = await presentPeers(
    PEER_NAMES.filter((name) => options.peers?.includes(name) ?? true),
  );
  const { only } = options;
  const scenarios = SCENARIOS.filter(({ name, quick }) =>
    only === null ? quick || !options.quick : only.includes(name),
  );
  const table = new ResultTable();
  for (const [peer, reason] of missing) {
    const itsScenarios = known.find(({ name }) => name === peer)?.scenarios;
    for (const { name } of scenarios) {
      if (itsScenarios?.includes(name) === false) continue;
      table.addAbsence({ scenario: name, pair: "node", peer, variant: null, reason });
    }
  }
  const choice = {
    scenarios,
    peers,
    peersNamed: options.peers !== null,
    pairs: options.pairs,
    runtimes: new Set(runtimes.keys()),
    plan,
  };
  const tasks = planTasks(choice, table);
  const titles = new Map<string, string>(known.map(({ name, title }) => [name, title]));
  if (tasks.length === 0) {
    progress.clear();
    console.error(["None of that can be measured.", ...new Set(absenceLines(table.absences, titles))].join("\n- "));
    return 1;
  }
  for (const task of tasks) await runTask(task, plan, table, progress.show);
  progress.clear();

  const results: BenchResults = {
    startedAt,
    seconds: Math.round((performance.now() - started) / 1000),
    quick: options.quick,
    environment: await environment(load, runtimes, peers),
    rows: table.rows,
    absences: table.absences,
  };
  printResults(results, titles);

  const full = !options.quick && only === null && options.peers === null && options.pairs === null;
  const folder = join(import.meta.dirname, "results", ...(full ? [] : ["last"]));
  writeResults(folder, results, SCENARIOS, titles);
  if (full) updateDocuments(join(import.meta.dirname, ".."), known, results, SCENARIOS, titles);
  if (options.json !== null) writeFileSync(options.json, `${JSON.stringify(results, null, 1)}\n`);
  console.log(`\n${results.seconds} s. JSON, tables and charts: ${folder}`);
  if (results.rows.length > 0) return 0;
  console.error("Nothing was measured.");
  return 1;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof UsageError ? `${error.message}\n\n${usage(KNOWN)}` : error);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
