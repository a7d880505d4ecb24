import type { Metric, Scenario } from "../lib/scenario.ts";

const PERCENTILES = [
  { name: "p50", unit: "µs", better: "lower" },
  { name: "p99", unit: "µs", better: "lower" },
  { name: "p999", unit: "µs", better: "lower" },
] as const satisfies Metric[];

const RATES = [2_000, 20_000] as const;

export const latency: Scenario = {
  name: "latency",
  title: "Latency at fixed rates",
  description:
    "`add({a, b})` at a fixed rate, even if earlier calls are still waiting; each is measured from the time it was " +
    "due, so a stall counts in all calls that it delays (no coordinated omission). Percentiles 50, 99 and 99.9.",
  needs: ["rpc"],
  pairs: "node",
  peers: null,
  quick: false,
  maxRounds: 2,
  async measure({ plan, withSession, sample, absent }) {
    await withSession({}, async (session) => {
      await session.connect(1);
      await session.client.call("load", { kind: "call", inFlight: 16, methods: 1, seconds: plan.warmupSeconds });
      for (const perSecond of RATES) {
        const variant = `${perSecond} calls/s`;
        await session.client.call("paced", { perSecond, seconds: plan.warmupSeconds });
        const result = await session.client.call("paced", { perSecond, seconds: plan.seconds });
        if (result === null) absent(variant, "does not keep up");
        else for (const metric of PERCENTILES) sample(variant, metric, result[metric.name] * 1000);
      }
    });
  },
};
