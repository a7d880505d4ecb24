/** The regression check: compares netconduit's CPU time to the bare loop's in the same round. */
import type { Peer } from "./peer.ts";
import { Session } from "./session.ts";
import { type Summary, summarize } from "./statistics.ts";

export const COSTS = ["call", "delivery", "message"] as const;
export type Cost = (typeof COSTS)[number];

/** Titles for the table. */
export const COST_TITLES: Readonly<Record<Cost, string>> = {
  call: "one call, 64 in flight",
  delivery: "one delivery of a broadcast to 200 clients",
  message: "one message of 64 KiB to the server",
};

const CLIENTS = 200;
const KIB = 1024;
const NODE = { server: "node", client: "node" } as const;
const OPTIONS = { tls: false, maxConnections: CLIENTS + 100, maxPayloadBytes: 64 * KIB, methods: 1 };

/** Durations of a round's parts. */
export interface Durations {
  /** Warm-up load on each peer before measuring, in seconds. */
  readonly warmupSeconds: number;
  /** Duration of one measurement in seconds; short, so that both peers are affected by the same noise. */
  readonly sliceSeconds: number;
  /** Measurements of each peer, in alternation. */
  readonly slices: number;
}

type Work = (session: Session, seconds: number) => Promise<number>;

/** Runs load for the given seconds and returns the number of completed units. */
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

/** CPU time of both processes so far, in milliseconds. */
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
 * Runs one round: both peers in new processes, measured in alternating slices. Returns the ratios of netconduit's CPU
 * time to the bare loop's.
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

/** A limit on the CPU time of a variant's calls, relative to another variant. */
export interface Comparison {
  readonly title: string;
  /** Names of peers. */
  readonly of: string;
  readonly to: string;
  readonly atMost: number;
}

export const COMPARISONS: readonly Comparison[] = [
  { title: "through a pool of one, × a client's", of: "netconduit-pool", to: "netconduit", atMost: 1.1 },
  { title: "to a server with unused features, × without", of: "netconduit-unused", to: "netconduit", atMost: 1 },
  // Compare with handlers that return a promise, because a middleware turns every result into one.
  { title: "with one middleware, × without", of: "netconduit-middleware", to: "netconduit-async", atMost: 1.1 },
  // Corresponds to 0.9 times the rate.
  { title: "with resume, × without", of: "netconduit-resume", to: "netconduit", atMost: 1 / 0.9 },
  { title: "with its caller's stack, × without", of: "netconduit", to: "netconduit-direct", atMost: 1.05 },
];

/** Returns the ratios of one peer's CPU time per call to the other's, slice by slice. */
export async function compareCalls(of: Peer, to: Peer, durations: Durations): Promise<number[]> {
  const { warmupSeconds, sliceSeconds, slices } = durations;
  const ratios: number[] = [];
  const sessions: Session[] = [];
  try {
    for (const peer of [to, of]) {
      const session = await Session.open(peer, NODE, OPTIONS);
      sessions.push(session);
      await session.connect(1);
      await WORK.call(session, warmupSeconds);
    }
    const [base, compared] = sessions as [Session, Session];
    for (let slice = 0; slice < slices; slice++) {
      const cost = await costOf(base, WORK.call, sliceSeconds);
      ratios.push((await costOf(compared, WORK.call, sliceSeconds)) / cost);
    }
  } finally {
    for (const session of sessions) await session.close();
  }
  return ratios;
}

/** Recorded ratios, by cost. */
export type Recorded = Readonly<Record<Cost, number>>;

/** The verdict on a cost. */
export interface CostVerdict {
  readonly cost: Cost;
  /** Compared to the bare loop, slice by slice. */
  readonly ratio: Summary;
  readonly recorded: number;
  readonly ok: boolean;
}

/** Evaluates ratios: a median may be up to `tolerance` times the recorded one. */
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
