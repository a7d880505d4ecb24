/** The interface of a scenario. */
import type { StartArgs } from "./commands.ts";
import type { Feature, Peer } from "./peer.ts";
import type { Pair } from "./runtimes.ts";
import type { Session } from "./session.ts";

/** Durations of a run's measurements. Quick runs only produce rough numbers. */
export interface Plan {
  readonly quick: boolean;
  /** Number of samples, each from new processes. */
  readonly rounds: number;
  /** Duration of a sample, and of the warm-up before it. */
  readonly seconds: number;
  readonly warmupSeconds: number;
  /** Maximum connections; limited by the plan and by open files. */
  readonly maxConnections: number;
}

/** A quantity measured by a scenario. */
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
  /** Runs `use` with a server and a client process, then ends both. Options default to small values. */
  withSession(options: Partial<StartArgs>, use: (session: Session) => Promise<void>): Promise<void>;
  /** Records a result. */
  sample(variant: string, metric: Metric, value: number): void;
  /** Records why a variant has no result. */
  absent(variant: string, reason: string): void;
}

export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** Text for the README: what is done and measured. */
  readonly description: string;
  readonly needs: readonly Feature[];
  /** The default pairs without `--runtime`: Node only, each runtime with itself, or all nine pairs. */
  readonly pairs: "node" | "each" | "all";
  /** The default peers without `--peers`; null for all. */
  readonly peers: readonly string[] | null;
  /** Whether the scenario is included in `--quick`. */
  readonly quick: boolean;
  /** Maximum rounds, except for {@link roundsOfClose}. */
  readonly maxRounds: number;
  /** Maximum rounds of peers that goals compare closely; two on runtimes other than Node. */
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
