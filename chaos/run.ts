/** `pnpm chaos`; `--help` lists its options. Exit code 1 if anything is wrong. */
import { readFileSync, writeFileSync } from "node:fs";
import process from "node:process";
import { fileURLToPath } from "node:url";
import { RUNTIMES, type RuntimeName } from "../docs-tests/lib/runtimes.ts";
import { amount, commandLine, count, flag, list } from "../scripts/lib/command-line.ts";
import { Network } from "./lib/network.ts";
import { runPair } from "./lib/pair-run.ts";
import { HEADING, problemsOf, rowOf, withRow } from "./lib/table.ts";
import { MODES, type Mode } from "./lib/workload.ts";

const DOCUMENT = fileURLToPath(new URL("../docs/reliability.md", import.meta.url));
const ALL_PAIRS = RUNTIMES.flatMap((server) => RUNTIMES.map((client) => `${server}-${client}`));

const { values } = commandLine({
  name: "pnpm chaos",
  about:
    "Runs a server and a client in separate processes, cuts their connections, and stops and kills the processes.\n" +
    "Counts ids that were lost, handled twice or out of order, and prints a row for each run.",
  options: {
    messages: count("number of ids per run", 20_000),
    pairs: list("runtimes of the server and the client", ALL_PAIRS),
    run: list("modes to run", MODES),
    seed: count("repeats the plan of the run that printed this seed", 1 + Math.floor(Math.random() * 1_000_000)),
    actions: count("number of times that processes are stopped or killed", 3),
    "mean-bytes": amount("average bytes between two cuts", 150_000),
    write: flag("updates the rows in docs/reliability.md"),
    verbose: flag("prints events"),
  },
});
const { seed, run: modes } = values;

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
    messages: values.messages,
    actions: values.actions,
    meanBytes: values["mean-bytes"],
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

const network = modes.includes("network") ? await openNetwork() : null;
try {
  console.log(`Seed ${seed}\n\n${HEADING}`);
  for (const pair of values.pairs) {
    for (const mode of modes) {
      if (mode !== "network" || network !== null) await play(pair, mode, network);
    }
  }
} finally {
  await network?.close();
}
