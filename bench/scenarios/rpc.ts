import type { LoadArgs } from "../lib/commands.ts";
import type { Metric, Plan, Scenario } from "../lib/scenario.ts";
import type { Session } from "../lib/session.ts";

export const CALLS: Metric = { name: "calls", unit: "calls/s", better: "higher" };
export const REPLIES: Metric = { name: "replies", unit: "replies/s", better: "higher" };
export const P50: Metric = { name: "p50", unit: "µs", better: "lower" };

/** Warms up and measures one kind of load; returns operations per second, and the median in µs with one in flight. */
export async function measureLoad(
  session: Session,
  plan: Plan,
  args: Omit<LoadArgs, "seconds">,
): Promise<{ perSecond: number; p50: number | null }> {
  await session.client.call("load", { ...args, seconds: plan.warmupSeconds });
  const { count, seconds, medianMs } = await session.client.call("load", { ...args, seconds: plan.seconds });
  return { perSecond: count / seconds, p50: medianMs === null ? null : medianMs * 1000 };
}

/** Seconds until the code of new processes is compiled; see NOTES.md for the figures. */
const COMPILING_SECONDS = 1.5;

/** Warms up new processes until their code is compiled. */
export async function compileLoad(session: Session, plan: Plan, args: Omit<LoadArgs, "seconds">): Promise<void> {
  await session.client.call("load", { ...args, seconds: plan.quick ? plan.warmupSeconds : COMPILING_SECONDS });
}

const MANY = { kind: "call", inFlight: 64, methods: 1 } as const;
const IN_FLIGHT = [1, 64, 1024] as const;

export const rpc: Scenario = {
  name: "rpc",
  title: "RPC with validation, one connection",
  description:
    "`add({a, b})`, parameters checked on the server, every sum checked by the client; 1, 64 and 1,024 calls in " +
    "flight. The warm-up is 1.5 s of 64 in flight (quick: 0.1 s).",
  needs: ["rpc"],
  pairs: "each",
  peers: null,
  quick: true,
  maxRounds: 3,
  roundsOfClose: { raw: 5, bare: 5, netconduit: 5 },
  async measure({ plan, withSession, sample }) {
    await withSession({}, async (session) => {
      await session.connect(1);
      await compileLoad(session, plan, MANY);
      for (const inFlight of IN_FLIGHT) {
        const { perSecond, p50 } = await measureLoad(session, plan, { ...MANY, inFlight });
        sample(`${inFlight} in flight`, CALLS, perSecond);
        if (p50 !== null) sample(`${inFlight} in flight`, P50, p50);
      }
    });
  },
};

export const request: Scenario = {
  name: "request",
  title: "Message with reply, one connection",
  description: "A message `{id, text}` whose reply is the same message; 64 in flight, every reply checked.",
  needs: ["request"],
  pairs: "node",
  peers: null,
  quick: false,
  maxRounds: 2,
  async measure({ plan, withSession, sample }) {
    await withSession({}, async (session) => {
      await session.connect(1);
      const load = { ...MANY, kind: "request" } as const;
      await compileLoad(session, plan, load);
      const { perSecond } = await measureLoad(session, plan, load);
      sample("64 in flight", REPLIES, perSecond);
    });
  },
};

export const pairs: Scenario = {
  name: "pairs",
  title: "RPC between runtimes",
  description:
    "`add({a, b})` with 64 calls in flight, and one at a time, on each pair of runtimes for server and client.",
  needs: ["rpc"],
  pairs: "all",
  peers: ["netconduit"],
  quick: false,
  maxRounds: 2,
  async measure({ plan, withSession, sample }) {
    await withSession({}, async (session) => {
      await session.connect(1);
      await compileLoad(session, plan, MANY);
      const many = await measureLoad(session, plan, MANY);
      sample("64 in flight", CALLS, many.perSecond);
      const one = await measureLoad(session, plan, { ...MANY, inFlight: 1 });
      if (one.p50 !== null) sample("1 in flight", P50, one.p50);
    });
  },
};

const METHODS = [1, 10, 100, 1000] as const;

export const handlers: Scenario = {
  name: "handlers",
  title: "Growth: number of methods",
  description: "`add({a, b})` with 64 calls in flight, rotating over 1 to 1,000 registered methods.",
  needs: ["rpc", "methods"],
  pairs: "node",
  peers: ["netconduit", "ws"],
  quick: false,
  maxRounds: 2,
  async measure({ plan, withSession, sample }) {
    for (const methods of METHODS) {
      await withSession({ methods }, async (session) => {
        await session.connect(1);
        await compileLoad(session, plan, { ...MANY, methods });
        const { perSecond } = await measureLoad(session, plan, { ...MANY, methods });
        sample(`${methods} methods`, CALLS, perSecond);
      });
    }
  },
};
