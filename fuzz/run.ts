/**
 * `pnpm fuzz`; `--help` lists its options. Exit code 1 if an input breaks a rule, 130 if a signal ended the run
 * early.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { commandLine, count, flag, text } from "../scripts/lib/command-line.ts";
import { type FuzzResult, fuzz, replay } from "./lib/fuzzer.ts";
import type { Target } from "./lib/target.ts";
import { Watchdog } from "./lib/watchdog.ts";
import { planted, targets } from "./targets/index.ts";

/** Time limit of an input; most take milliseconds. */
const MAX_INPUT_MS = 60_000;

const interruption = new AbortController();
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => interruption.abort());

const known = [...targets, planted];
const { values, names } = commandLine({
  name: "pnpm fuzz",
  about: "Searches for inputs that break a rule, and adds the first one to the target's corpus.",
  names: {
    help: "targets; default: all except planted, which breaks a rule on purpose",
    choices: known.map(({ name }) => name),
  },
  options: {
    executions: count("number of inputs per target", 100_000),
    seed: count("seed of the random numbers", 1),
    save: flag("adds inputs that reach new code to the corpus"),
    corpus: text("folder of the corpus, instead of fuzz/corpus", "FOLDER"),
    replay: text("only runs this input", "FILE"),
  },
});
const corpusFolder = values.corpus ?? fileURLToPath(new URL("corpus/", import.meta.url));

function folderOf(target: Target): string {
  return join(corpusFolder, target.name);
}

function corpusOf(target: Target): Uint8Array[] {
  const folder = folderOf(target);
  mkdirSync(folder, { recursive: true });
  return readdirSync(folder)
    .sort()
    .map((file) => new Uint8Array(readFileSync(join(folder, file))));
}

function save(target: Target, input: Uint8Array, prefix: string): string {
  const name = `${prefix}${createHash("sha256").update(input).digest("hex").slice(0, 12)}.bin`;
  const file = join(folderOf(target), name);
  writeFileSync(file, input);
  return file;
}

/** Returns whether no input broke a rule. */
async function run(target: Target): Promise<boolean> {
  const watchdog = new Watchdog(MAX_INPUT_MS, join(folderOf(target), "hang.bin"));
  const startMs = performance.now();
  const result = await fuzz(target, {
    executions: values.executions,
    seed: values.seed,
    corpus: corpusOf(target),
    watchdog,
    signal: interruption.signal,
    progress: (executions, characters, inputs) => {
      const perSecond = Math.round(executions / ((performance.now() - startMs) / 1000));
      console.log(
        `${target.name}: ${executions} executions, ${perSecond}/s, ${characters} characters reached, ${inputs} inputs`,
      );
    },
  });
  await watchdog.stop();
  report(target, result);
  if (values.save) for (const input of result.corpus) save(target, input, "");
  return result.finding === null;
}

function report(target: Target, { executions, characters, corpus, finding }: FuzzResult): void {
  console.log(`${target.name}: ${executions} executions, ${characters} characters reached, ${corpus.length} inputs`);
  if (finding === null) return;
  const file = save(target, finding.input, "crash-");
  console.log(`${target.name}: an input broke a rule: ${file}`);
  console.log(finding.error);
}

const chosen = names.length === 0 ? targets : known.filter(({ name }) => names.includes(name));
let isClean = true;
for (const target of chosen) {
  if (interruption.signal.aborted) break;
  if (values.replay === null) {
    isClean = (await run(target)) && isClean;
    continue;
  }
  const finding = await replay(target, [new Uint8Array(readFileSync(values.replay))]);
  console.log(`${target.name}:`, finding === null ? "it kept to the rules" : finding.error);
  isClean &&= finding === null;
}
process.exit(!isClean ? 1 : interruption.signal.aborted ? 130 : 0);
