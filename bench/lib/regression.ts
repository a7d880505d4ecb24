/** The regression check: what netconduit costs in CPU time, against the bare loop of the same round. */
import type { Peer } from "./peer.ts";
import { Session } from "./session.ts";
import { type Summary, summarize } from "./statistics.ts";

export const COSTS = ["call", "delivery", "message"] as const;
export type Cost = (typeof COSTS)[number];

/** What is measured, for people. */
export const COST_TITLES: Readonly<Record<Cost, string>> = {
  call: "one call, 64 in flight",
  delivery: "one delivery of a broadcast to 200 clients",
  message: "one message of 64 KiB to the server",
};

const CLIENTS = 200;
const KIB = 1024;
const NODE = { server: "node", client: "node" } as const;
const OPTIONS = { tls: false, maxConnections: CLIENTS + 100, maxPayloadBytes: 64 * KIB, methods: 1 };

/** How long a round is. */
export interface Durations {
  /** Load on each peer before anything is measured, in seconds. */
  readonly warmupSeconds: number;
  /** One measurement, in seconds; short, so that the two peers meet the same noise. */
  readonly sliceSeconds: number;
  /** Measurements of each peer, in turn. */
  readonly slices: number;
}

type Work = (session: Session, seconds: number) => Promise<number>;

/** Does work for some seconds and returns how many units of it. */
const WORK: Readonly<Record<Cost, Work>> = {
  async call({ client }, seconds) {
    return (await client.call("load", { kind: "call", inFlight: 64, methods: 1, seconds })).count;
  },
  async delivery({ server }, seconds) {
    return (await server.call("broadcast", { perTurn: 10, seconds })).messages * CLIENTS;
  },
  async message({ client }, seconds) {
    const args = { direction: "upload", bytes: 64 * KIB, inFlight: 16, seconds } as const;
    return (await client.call("transfer", args)).messages;
  },
};

/** CPU time of both processes together so far, in milliseconds. */
async function cpuMs({ server, client }: Session): Promise<number> {
  const [ofServer, ofClient] = await Promise.all([server.call("cpu", null), client.call("cpu", null)]);
  return ofServer.cpuMs + ofClient.cpuMs;
}

async function costOf(session: Session, work: Work, seconds: number): Promise<number> {
  const before = await cpuMs(session);
  const count = await work(session, seconds);
  return ((await cpuMs(session)) - before) / count;
}

async function open(peer: Peer): Promise<Session> {
  const session = await Session.open(peer, NODE, OPTIONS);
  try {
    await session.connect(CLIENTS);
    await session.client.call("watch", { signalPort: session.started.signalPort, perTurn: 10 });
    return session;
  } catch (error) {
    await session.close();
    throw error;
  }
}

/**
 * One round: both peers in fresh processes, side by side, and slice after slice of work on one and then on the other.
 * Returns the ratios of CPU time, ours over the bare loop's.
 */
export async function measureRound(ours: Peer, bare: Peer, durations: Durations): Promise<Record<Cost, number[]>> {
  const ratios: Record<Cost, number[]> = { call: [], delivery: [], message: [] };
  const ourSession = await open(ours);
  try {
    const bareSession = await open(bare);
    try {
      for (const cost of COSTS) {
        const work = WORK[cost];
        for (const session of [bareSession, ourSession]) await work(session, durations.warmupSeconds);
        for (let slice = 0; slice < durations.slices; slice++) {
          const base = await costOf(bareSession, work, durations.sliceSeconds);
          ratios[cost].push((await costOf(ourSession, work, durations.sliceSeconds)) / base);
        }
      }
    } finally {
      await bareSession.close();
    }
  } finally {
    await ourSession.close();
  }
  return ratios;
}

/** Ratios that a run may have, by cost. */
export type Recorded = Readonly<Record<Cost, number>>;

/** A cost, judged. */
export interface CostVerdict {
  readonly cost: Cost;
  /** Over the bare loop's, slice by slice. */
  readonly ratio: Summary;
  readonly recorded: number;
  readonly ok: boolean;
}

/** Judges ratios: their median may exceed the recorded one by the factor `tolerance`. */
export function judgeCosts(
  ratios: Readonly<Record<Cost, readonly number[]>>,
  recorded: Recorded,
  tolerance: number,
): CostVerdict[] {
  return COSTS.map((cost) => {
    const ratio = summarize(ratios[cost]);
    return { cost, ratio, recorded: recorded[cost], ok: ratio.median <= recorded[cost] * tolerance };
  });
}
