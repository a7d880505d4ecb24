/** Runs scenarios in rounds; each round includes every peer. */
import type { StartArgs } from "./commands.ts";
import type { Feature, Peer, RuntimeName } from "./peer.ts";
import type { ResultTable } from "./results.ts";
import { type Pair, pairName } from "./runtimes.ts";
import type { Plan, Scenario, ScenarioContext } from "./scenario.ts";
import { Session } from "./session.ts";

const SMALL: StartArgs = { tls: false, maxConnections: 100, maxPayloadBytes: 64 * 1024, methods: 1 };

/** Rounds on pairs other than Node with Node; all goals with narrow margins are on Node. */
const ROUNDS_ELSEWHERE = 2;

/** One scenario on one pair of runtimes, with the peers that can run it there. */
export interface Task {
  readonly scenario: Scenario;
  readonly pair: Pair;
  readonly peers: readonly Peer[];
  roundsOf(peer: Peer): number;
}

/** Why a peer can't run a scenario on a pair, or null. */
export function obstacle(peer: Peer, scenario: Scenario, pair: Pair): string | null {
  for (const side of ["server", "client"] as const) {
    if (!peer.runtimes[side].includes(pair[side])) return `is measured on ${peer.runtimes[side].join(" and ")} only`;
  }
  if (pair.server !== pair.client && !peer.mixed) return "is measured with both ends on one runtime";
  const lacked = scenario.needs.find((feature: Feature) => peer.lacks[feature] !== undefined);
  return lacked === undefined ? null : (peer.lacks[lacked] as string);
}

/** Whether a peer takes part in a scenario. */
export function takesPart({ scenarios }: Peer, { name }: Scenario): boolean {
  return scenarios === undefined || scenarios.includes(name);
}

/** Whether a peer is measured on a pair by default. */
function isUsual({ usual }: Peer, { server, client }: Pair): boolean {
  return usual === undefined || (usual.includes(server) && usual.includes(client));
}

/** The scenarios, peers and pairs to run. */
export interface Choice {
  readonly scenarios: readonly Scenario[];
  readonly peers: readonly Peer[];
  /** Whether peers were named on the command line: these also run in scenarios and on runtimes outside their defaults. */
  readonly peersNamed: boolean;
  readonly pairs: readonly Pair[] | null;
  readonly runtimes: ReadonlySet<RuntimeName>;
  readonly plan: Plan;
}

/** The default pairs of runtimes of a scenario. */
export function pairsOf(scenario: Scenario, { plan, runtimes }: Pick<Choice, "plan" | "runtimes">): Pair[] {
  const on = plan.quick ? (["node"] as const) : [...runtimes];
  switch (scenario.pairs) {
    case "node":
      return [{ server: "node", client: "node" }];
    case "each":
      return on.map((runtime) => ({ server: runtime, client: runtime }));
    case "all":
      return on.flatMap((server) => on.map((client) => ({ server, client })));
  }
}

/** Plans the tasks; records omitted peers in `table`, with the reason. */
export function planTasks(choice: Choice, table: ResultTable): Task[] {
  const tasks: Task[] = [];
  for (const scenario of choice.scenarios) {
    for (const pair of choice.pairs ?? pairsOf(scenario, choice)) {
      const peers = choice.peers.filter((peer) => {
        if (!choice.peersNamed && scenario.peers !== null && !scenario.peers.includes(peer.name)) return false;
        if (!takesPart(peer, scenario)) return false;
        const reason = obstacle(peer, scenario, pair);
        if (reason === null) return choice.peersNamed || isUsual(peer, pair);
        // The list of peers states where each one runs, so only record absences on Node and on explicitly requested pairs.
        if (pairName(pair) === "node" || choice.pairs !== null) {
          table.addAbsence({ scenario: scenario.name, pair: pairName(pair), peer: peer.name, variant: null, reason });
        }
        return false;
      });
      const { maxRounds, roundsOfClose } = scenario;
      const here = pairName(pair) === "node" ? choice.plan.rounds : Math.min(choice.plan.rounds, ROUNDS_ELSEWHERE);
      const roundsOf = ({ name }: Peer): number => Math.min(here, roundsOfClose?.[name] ?? maxRounds);
      if (peers.length > 0) tasks.push({ scenario, pair, peers, roundsOf });
    }
  }
  return tasks;
}

/** Called before each measurement. */
export type Progress = (text: string) => void;

/** Runs a task. A failure is recorded in `table`, and the task continues with the next peer. */
export async function runTask(task: Task, plan: Plan, table: ResultTable, progress: Progress): Promise<void> {
  const { scenario, pair, peers } = task;
  const on = pairName(pair);
  const rounds = Math.max(...peers.map((peer) => task.roundsOf(peer)));
  for (let round = 0; round < rounds; round++) {
    const left = peers.filter((peer) => task.roundsOf(peer) > round);
    // Reverse every second round, so that no peer always runs after the same one.
    for (const peer of round % 2 === 0 ? left : left.toReversed()) {
      progress(`${scenario.name} on ${on}, round ${round + 1} of ${rounds}: ${peer.name}`);
      const where = { scenario: scenario.name, pair: on, peer: peer.name };
      const context: ScenarioContext = {
        peer,
        pair,
        plan,
        sample: (variant, metric, value) => table.add({ ...where, variant }, metric, round, value),
        absent: (variant, reason) => table.addAbsence({ ...where, variant, reason }),
        async withSession(options, use) {
          const session = await Session.open(peer, pair, { ...SMALL, ...options });
          try {
            await use(session);
          } finally {
            await session.close();
          }
        },
      };
      try {
        await scenario.measure(context);
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        table.addAbsence({ ...where, variant: null, reason: `failed in round ${round + 1}: ${reason}` });
        progress(`${peer.name} failed: ${reason}`);
      }
    }
  }
}
