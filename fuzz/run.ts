/**
 * `pnpm fuzz [target…] [--executions N] [--seed N] [--save] [--corpus FOLDER] [--replay FILE]`: looks for inputs that break
 * a rule, in each target or in these. Ends with 1 if it finds one, which it leaves in the target's corpus.
 */
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { type FuzzResult, fuzz, replay } from "./lib/fuzzer.ts";
import type { Target } from "./lib/target.ts";
import { Watchdog } from "./lib/watchdog.ts";
import { planted, targets } from "./targets/index.ts";

/** For one input; most take milliseconds. */
const MAX_INPUT_MS = 60_000;

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    executions: { type: "string", default: "100000" },
    seed: { type: "string", default: "1" },
    save: { type: "boolean", default: false },
    corpus: { type: "string", default: fileURLToPath(new URL("corpus/", import.meta.url)) },
    replay: { type: "string" },
  },
});

function folderOf(target: Target): string {
  return join(values.corpus, target.name);
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

/** Returns whether all inputs kept to the rules. */
async function run(target: Target): Promise<boolean> {
  const watchdog = new Watchdog(MAX_INPUT_MS, join(folderOf(target), "hang.bin"));
  const startMs = performance.now();
  const result = await fuzz(target, {
    executions: Number(values.executions),
    seed: Number(values.seed),
    corpus: corpusOf(target),
    watchdog,
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

const named = [...targets, planted].filter(({ name }) => positionals.includes(name));
const chosen = positionals.length === 0 ? targets : named;
if (chosen.length === 0) throw new Error(`The targets are ${targets.map(({ name }) => name).join(", ")}`);
let isClean = true;
for (const target of chosen) {
  if (values.replay === undefined) {
    isClean = (await run(target)) && isClean;
    continue;
  }
  const finding = await replay(target, [new Uint8Array(readFileSync(values.replay))]);
  console.log(`${target.name}:`, finding === null ? "it kept to the rules" : finding.error);
  isClean &&= finding === null;
}
process.exit(isClean ? 0 : 1);
