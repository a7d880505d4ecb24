/**
 * `pnpm chaos [--messages 20000] [--pairs node-node,bun-deno] [--run cuts,kills,store,disk,network] [--seed N] [--actions 3]
 * [--mean-bytes 30000] [--write] [--verbose]`: a server and a client in processes of their own, whose connections are cut, and
 * which are stopped and killed. Counts what was lost, handled twice or out of order, and prints a row for each pair of
 * runtimes, server first. Exit code 1 if anything is wrong; the seed that is printed repeats the plan. With `--write` the
 * rows in docs/reliability.md are brought up to date.
 */
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { RUNTIMES, type RuntimeName } from "../docs-tests/lib/runtimes.ts";
import { Network } from "./lib/network.ts";
import { runPair } from "./lib/pair-run.ts";
import { HEADING, problemsOf, rowOf, withRow } from "./lib/table.ts";
import { MODES, type Mode } from "./lib/workload.ts";

const DOCUMENT = fileURLToPath(new URL("../docs/reliability.md", import.meta.url));
const ALL_PAIRS = RUNTIMES.flatMap((server) => RUNTIMES.map((client) => `${server}-${client}`));

const { values } = parseArgs({
  options: {
    messages: { type: "string", default: "20000" },
    pairs: { type: "string", default: ALL_PAIRS.join(",") },
    run: { type: "string", default: MODES.join(",") },
    seed: { type: "string", default: String(Math.floor(Math.random() * 1_000_000)) },
    actions: { type: "string", default: "3" },
    "mean-bytes": { type: "string", default: "30000" },
    write: { type: "boolean", default: false },
    verbose: { type: "boolean", default: false },
  },
});
const seed = Number(values.seed);

async function openNetwork(): Promise<Network | null> {
  try {
    const network = await Network.open();
    if (!network.hasNetem) console.log("This kernel has no netem: packets are lost by a short queue instead.");
    return network;
  } catch (error) {
    console.log(`Runs of mode network are skipped: ${error instanceof Error ? error.message : error}`);
    return null;
  }
}

async function play(pair: string, mode: Mode, network: Network | null): Promise<void> {
  const [server, client] = pair.split("-") as [RuntimeName, RuntimeName];
  const result = await runPair({
    server,
    client,
    mode,
    seed,
    messages: Number(values.messages),
    actions: Number(values.actions),
    meanBytes: Number(values["mean-bytes"]),
    ...(mode === "network" && network !== null ? { network } : {}),
    ...(values.verbose ? { log: (line: string) => console.error(line) } : {}),
  });
  const row = rowOf(result);
  console.log(row);
  if (values.write) writeFileSync(DOCUMENT, withRow(readFileSync(DOCUMENT, "utf8"), row));
  if (values.verbose) console.error(JSON.stringify(result, null, 1));
  const problems = problemsOf(result);
  if (problems.length === 0) return;
  process.exitCode = 1;
  console.log(
    `\nSeed ${seed}, ${pair}, ${mode}:\n${problems.map((problem) => `- ${problem}`).join("\n")}\n\n${HEADING}`,
  );
}

const modes = values.run.split(",") as Mode[];
const network = modes.includes("network") ? await openNetwork() : null;
try {
  console.log(`Seed ${seed}\n\n${HEADING}`);
  for (const pair of values.pairs.split(",")) {
    for (const mode of modes) {
      if (mode !== "network" || network !== null) await play(pair, mode, network);
    }
  }
} finally {
  await network?.close();
}
