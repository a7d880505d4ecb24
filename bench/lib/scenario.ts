/** What a scenario is to the harness. */
import type { StartArgs } from "./commands.ts";
import type { Feature, Peer } from "./peer.ts";
import type { Pair } from "./runtimes.ts";
import type { Session } from "./session.ts";

/** How long things are measured. Quick runs show that all works; their numbers are rough. */
export interface Plan {
  readonly quick: boolean;
  /** Samples of each number. Each is taken from processes of its own. */
  readonly rounds: number;
  /** Length of one sample, and of the load before it. */
  readonly seconds: number;
  readonly warmupSeconds: number;
  /** Most connections, by the plan and by this machine's limit of open files. */
  readonly maxConnections: number;
}

/** A number that a scenario yields. */
export interface Metric {
  readonly name: string;
  readonly unit: string;
  readonly better: "higher" | "lower";
}

/** What `measure` is given. */
export interface ScenarioContext {
  readonly peer: Peer;
  readonly pair: Pair;
  readonly plan: Plan;
  /** Runs `use` with a server and a client process; ends both afterwards. Options not given have small values. */
  withSession(options: Partial<StartArgs>, use: (session: Session) => Promise<void>): Promise<void>;
  /** Hands in a result. */
  sample(variant: string, metric: Metric, value: number): void;
  /** Says why a variant has no result; the scenario goes on. */
  absent(variant: string, reason: string): void;
}

export interface Scenario {
  readonly name: string;
  readonly title: string;
  /** For the README: what is done and counted. */
  readonly description: string;
  readonly needs: readonly Feature[];
  /** Where it runs unless `--runtime` says otherwise: on Node, on each runtime by itself, or on all nine pairs. */
  readonly pairs: "node" | "each" | "all";
  /** Peers it runs with unless `--peers` says otherwise; null: all. */
  readonly peers: readonly string[] | null;
  /** Part of `--quick` when `--only` does not choose. */
  readonly quick: boolean;
  /** At most this many rounds, but for {@link roundsOfClose}. */
  readonly maxRounds: number;
  /** Peers that goals compare, and whose numbers lie close to each other, have up to so many instead; two where it is not Node. */
  readonly roundsOfClose?: Readonly<Record<string, number>>;
  measure(context: ScenarioContext): Promise<void>;
}

/** The least of the numbers that limit how many connections a scenario may open, or why it may not open `wanted`. */
export function connectionLimit({ peer, plan }: ScenarioContext, wanted: number): string | null {
  if (wanted > plan.maxConnections) {
    return plan.quick ? "left out with --quick" : `needs ${wanted} connections, the limit of open files is too low`;
  }
  const own = peer.maxConnections;
  return own !== undefined && wanted > own.count ? own.reason : null;
}
