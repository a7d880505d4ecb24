import { parseArgs } from "node:util";
import type { RuntimeName } from "./peer.ts";
import { type Pair, RUNTIMES } from "./runtimes.ts";

/** Command line options. */
export interface BenchArguments {
  readonly help: boolean;
  readonly quick: boolean;
  /** Scenarios; null for the plan's. */
  readonly only: readonly string[] | null;
  /** Peers, including netconduit; null for each scenario's own. */
  readonly peers: readonly string[] | null;
  /** Pairs of runtimes; null for each scenario's own. */
  readonly pairs: readonly Pair[] | null;
  /** An additional file for the JSON results. */
  readonly json: string | null;
  /** Rounds; null for the plan's. */
  readonly rounds: number | null;
}

/** The command line is invalid; the message contains the reason. */
export class UsageError extends Error {}

/** Valid names. */
export interface Known {
  readonly scenarios: readonly string[];
  readonly peers: readonly string[];
}

/** Parses the command line. @throws UsageError */
export function readArguments(args: readonly string[], known: Known): BenchArguments {
  const values = parse(args);
  return {
    help: values.help === true,
    quick: values.quick === true,
    only: list(values.only, "--only", "scenario", known.scenarios),
    peers: withOurs(list(values.peers, "--peers", "peer", known.peers)),
    pairs: readPairs(values.runtime),
    json: values.json ?? null,
    rounds: readRounds(values.rounds),
  };
}

function parse(args: readonly string[]): {
  help?: boolean;
  quick?: boolean;
  only?: string;
  peers?: string;
  runtime?: string;
  json?: string;
  rounds?: string;
} {
  try {
    return parseArgs({
      args: [...args],
      options: {
        help: { type: "boolean", short: "h" },
        quick: { type: "boolean" },
        only: { type: "string" },
        peers: { type: "string" },
        runtime: { type: "string" },
        json: { type: "string" },
        rounds: { type: "string" },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function split(value: string): string[] {
  return value
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "");
}

function list(value: string | undefined, option: string, what: string, known: readonly string[]): string[] | null {
  if (value === undefined) return null;
  const names = split(value);
  if (names.length === 0) throw new UsageError(`${option} needs a name; available: ${known.join(", ")}`);
  for (const name of names) {
    if (!known.includes(name)) throw new UsageError(`Unknown ${what} ${name}; available: ${known.join(", ")}`);
  }
  return [...new Set(names)];
}

/** Adds netconduit, because all peers are compared with it. */
function withOurs(peers: readonly string[] | null): readonly string[] | null {
  return peers === null || peers.includes("netconduit") ? peers : ["netconduit", ...peers];
}

function readPairs(value: string | undefined): Pair[] | null {
  if (value === undefined) return null;
  const runtime = (name: string | undefined): RuntimeName => {
    const found = RUNTIMES.find((known) => known === name);
    if (found === undefined) {
      throw new UsageError(`--runtime takes ${RUNTIMES.join(", ")} and pairs such as node-bun, got ${value}`);
    }
    return found;
  };
  const pairs = new Map<string, Pair>();
  for (const text of split(value)) {
    const [server, client = server, ...rest] = text.split("-");
    if (rest.length > 0) runtime(undefined);
    pairs.set(`${server}-${client}`, { server: runtime(server), client: runtime(client) });
  }
  if (pairs.size === 0) runtime(undefined);
  return [...pairs.values()];
}

function readRounds(value: string | undefined): number | null {
  if (value === undefined) return null;
  const rounds = Number(value);
  if (!Number.isInteger(rounds) || rounds < 1 || rounds > 100) {
    throw new UsageError(`--rounds must be a whole number from 1 to 100, got ${value}`);
  }
  return rounds;
}

export function usage({ scenarios, peers }: Known): string {
  return `Usage: pnpm bench [options]

  --only <names>     scenarios, separated by commas:
                     ${scenarios.join(", ")}
  --peers <names>    peers besides netconduit, separated by commas:
                     ${peers.join(", ")}
  --runtime <names>  node, bun, deno, or pairs such as node-bun (the server first); separated by commas
  --quick            one short round of the main scenarios, in about a minute
  --rounds <n>       samples of each number, instead of 5 (slow scenarios take fewer)
  --json <path>      also writes the results to this file
  --help             this

Results go to bench/results. A full run also renews the figures in README.md and bench/README.md.`;
}
