/**
 * `pnpm bench:regression`: fails if netconduit is slower than recorded in regression.json; `--record` updates the
 * record. Compares CPU time with the bare loop's in the same round, so that the machine's load doesn't matter; see
 * NOTES.md.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { buildIfStale } from "../scripts/lib/build-if-stale.ts";
import { commandLine, count, flag } from "../scripts/lib/command-line.ts";
import { formatNumber, formatTable } from "./lib/format.ts";
import {
  COMPARISONS,
  COST_TITLES,
  COSTS,
  type Cost,
  compareCalls,
  judgeCosts,
  measureRound,
  type Recorded,
} from "./lib/regression.ts";
import { summarize } from "./lib/statistics.ts";
import { loadPeer } from "./peers/index.ts";

const FILE = join(import.meta.dirname, "regression.json");
const ROUNDS = 3;
const DURATIONS = { warmupSeconds: 0.8, sliceSeconds: 0.15, slices: 12 };
/** Maximum ratio of a median to the recorded one. Between runs of the same code, medians vary by less than half of this margin. */
const TOLERANCE = 1.15;
/** Medians of the same code differ by up to 5 %. */
const COMPARISON_TOLERANCE = 1.05;

async function main(): Promise<number> {
  const { values } = commandLine({
    name: "pnpm bench:regression",
    about: "Compares the CPU time of calls, deliveries and messages with the values recorded in bench/regression.json.",
    options: {
      rounds: count("number of rounds; the median counts", ROUNDS),
      record: flag("records the measured values"),
    },
  });
  const { rounds } = values;
  await buildIfStale();
  const peers = { ours: await loadPeer("netconduit"), bare: await loadPeer("bare") };
  const ratios: Record<Cost, number[]> = { call: [], delivery: [], message: [] };
  const compared = COMPARISONS.map(() => [] as number[]);
  for (let round = 0; round < rounds; round++) {
    process.stderr.write(`round ${round + 1} of ${rounds}\n`);
    const measured = await measureRound(peers.ours, peers.bare, DURATIONS);
    for (const cost of COSTS) ratios[cost].push(...measured[cost]);
    for (const [index, { of, to }] of COMPARISONS.entries()) {
      compared[index]?.push(...(await compareCalls(await loadPeer(of), await loadPeer(to), DURATIONS)));
    }
  }
  const recorded = JSON.parse(readFileSync(FILE, "utf8")) as Recorded;
  const verdicts = judgeCosts(ratios, recorded, TOLERANCE);
  console.log(
    formatTable(
      ["CPU time of", "× bare loop", "range", "recorded", "at most", ""],
      verdicts.map(({ cost, ratio, recorded: held, ok }) => [
        COST_TITLES[cost],
        formatNumber(ratio.median),
        `${formatNumber(ratio.min)} – ${formatNumber(ratio.max)}`,
        formatNumber(held),
        formatNumber(held * TOLERANCE),
        ok ? "ok" : "SLOWER",
      ]),
    ),
  );
  const comparisons = COMPARISONS.map(({ title, atMost }, index) => {
    const ratio = summarize(compared[index] ?? []);
    return { title, atMost, ratio, ok: ratio.median <= atMost * COMPARISON_TOLERANCE };
  });
  console.log(
    formatTable(
      ["CPU time of a call", "median", "range", "at most", ""],
      comparisons.map(({ title, atMost, ratio, ok }) => [
        title,
        formatNumber(ratio.median),
        `${formatNumber(ratio.min)} – ${formatNumber(ratio.max)}`,
        formatNumber(atMost),
        ok ? "ok" : "SLOWER",
      ]),
    ),
  );
  if (values.record) {
    const medians = COSTS.map((cost, index) => [cost, Math.round((verdicts[index]?.ratio.median ?? 0) * 1000) / 1000]);
    writeFileSync(FILE, `${JSON.stringify(Object.fromEntries(medians), null, 2)}\n`);
    return 0;
  }
  return [...verdicts, ...comparisons].every(({ ok }) => ok) ? 0 : 1;
}

process.exitCode = await main();
