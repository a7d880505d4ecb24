/** The interface of a scenario. */
import type { StartArgs } from "./commands.ts";
import type { Feature, Peer } from "./peer.ts";
import type { Pair } from "./runtimes.ts";
import type { Session } from "./session.ts";

/** Lengths of a run's measurements. Quick runs have rough numbers. */
export interface Plan {
  readonly quick: boolean;
  /** Samples of each number, each from new processes. */
  readonly rounds: number;
  /** Length of a sample, and of the warm-up before it. */
  readonly seconds: number;
  readonly warmupSeconds: number;
  /** Most connections; limited by the plan and by open files. */
  readonly maxConnections: number;
}

/** A number that a scenario measures. */
export interface Metric {
  readonly name: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
}

/** The argument of `measure`. */
export interface ScenarioContext {
  readonly peer: Peer;
  readonly pair: Pair;
  readonly plan: Plan;
  /** Runs `use` with a server and a client process, and ends both afterwards. Options default to small values. */
  withSession(options: Partial<StartArgs>, use: (session: Session) => Promise<void>): Promise<void>;
  /** Records a result. */
  sample(variant: string, metric: Metric, value: number): void;
  /** Records why a variant has no result. */
  absent(variant: string, reason: string): void;
}

export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** For the README: what is done and measured. */
  readonly description: string;
  readonly needs: readonly Feature[];
  /** Where it runs without `--runtime`: on Node, on each runtime with itself, or on all nine pairs. */
  readonly pairs: "node" | "each" | "all";
  /** Peers it runs with without `--peers`; null for all. */
  readonly peers: readonly string[] | null;
  /** Whether it is part of `--quick`. */
  readonly quick: boolean;
  /** Most rounds, except for {@link roundsOfClose}. */
  readonly maxRounds: number;
  /** Most rounds of peers that goals compare closely. On other runtimes than Node, two. */
  readonly roundsOfClose?: Readonly<Record<string, number>>;
  measure(context: ScenarioContext): Promise<void>;
}

/** Why a scenario can't open `wanted` connections; null if it can. */
export function connectionLimit({ peer, plan }: ScenarioContext, wanted: number): string | null {
  if (wanted > plan.maxConnections) {
    return plan.quick ? "left out with --quick" : `needs ${wanted} connections, the limit of open files is too low`;
  }
  const own = peer.maxConnections;
  return own !== undefined && wanted > own.count ? own.reason : null;
}
