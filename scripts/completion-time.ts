/**
 * `pnpm completion-time`: measures how long an editor takes to complete method names with a contract of 500 methods,
 * at `client.call("` and similar places, and with hand-written functions over the same schemas. Each completion uses
 * a cold checker; figures are medians of three rounds. `--methods` and `--rounds` change these numbers.
 */
import { commandLine, count } from "./lib/command-line.ts";
import {
  clientApi,
  clientCall,
  contractOf,
  handWrittenCall,
  handWrittenRpc,
  serverRpc,
} from "./lib/completion-programs.ts";
import { completionsAt } from "./lib/completions.ts";

const { values } = commandLine({
  name: "pnpm completion-time",
  about:
    "Compares the CPU time of completions in an editor with those of a hand-written function over the same schemas.",
  options: {
    methods: count("number of methods in the contract", 500),
    rounds: count("number of rounds; the median counts", 3),
  },
});
const contract = contractOf(values.methods);
const pairs = [
  { name: 'client.call("', ours: clientCall, handWritten: handWrittenCall },
  { name: "client.api.area0.", ours: clientApi, handWritten: handWrittenCall },
  { name: 'server.rpc("', ours: serverRpc, handWritten: handWrittenRpc },
];

function cpuMs(main: string): number {
  return completionsAt({ main, contract })[0]?.cpuMs ?? Number.NaN;
}

function median(numbers: readonly number[]): number {
  return numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN;
}

for (const { name, ours, handWritten } of pairs) {
  const times = { ours: [] as number[], handWritten: [] as number[] };
  for (let round = 0; round < values.rounds; round++) {
    times.handWritten.push(cpuMs(handWritten));
    times.ours.push(cpuMs(ours));
  }
  const [own, other] = [median(times.ours), median(times.handWritten)];
  console.log(
    `${name.padEnd(17)} ${own.toFixed(0)} ms, hand-written ${other.toFixed(0)} ms: ${(own / other).toFixed(2)} ×`,
  );
}
