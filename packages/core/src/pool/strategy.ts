/** How a pool chooses the connection of the next call or message. */

/** The strategies of a pool; see the option `strategy`. */
export type PoolStrategy = "round-robin" | "random" | "least-latency" | "least-pending";

/** The load of one connection. */
export interface Load {
  /** Number of calls and requests waiting for replies. */
  readonly pendingCalls: number;
  /** Average time until a reply, in milliseconds; null before the first. */
  readonly averageMs: number | null;
}

/** Chooses one of several candidates, of which there is at least one. */
export type Choose = <T extends Load>(candidates: readonly T[]) => T;

/** Shorter times are raised to this, because smaller differences are noise. */
const MIN_LATENCY_MS = 0.1;

/** @param random as `Math.random` */
export function chooserOf(strategy: PoolStrategy, random: () => number = Math.random): Choose {
  if (strategy === "random") return (candidates) => at(candidates, Math.floor(random() * candidates.length));
  let turn = 0;
  if (strategy === "round-robin") {
    return (candidates) => {
      turn = (turn + 1) % candidates.length;
      return at(candidates, turn);
    };
  }
  const costOf = strategy === "least-pending" ? pendingCost : latencyCost;
  return (candidates) => {
    turn = (turn + 1) % candidates.length;
    return cheapest(candidates, turn, costOf);
  };
}

function pendingCost({ pendingCalls }: Load): number {
  return pendingCalls;
}

/** Latency times pending calls, so that the fastest server doesn't get all calls of a burst. */
function latencyCost({ pendingCalls, averageMs }: Load): number {
  return Math.max(averageMs ?? 0, MIN_LATENCY_MS) * (pendingCalls + 1);
}

/** The candidate with the least cost. Ties go to the first one from `start`, so that candidates take turns. */
function cheapest<T extends Load>(candidates: readonly T[], start: number, costOf: (load: Load) => number): T {
  let best = at(candidates, start);
  let leastCost = costOf(best);
  for (let n = 1; n < candidates.length; n += 1) {
    const candidate = at(candidates, (start + n) % candidates.length);
    const cost = costOf(candidate);
    if (cost >= leastCost) continue;
    best = candidate;
    leastCost = cost;
  }
  return best;
}

function at<T>(candidates: readonly T[], index: number): T {
  return candidates[index] as T;
}
