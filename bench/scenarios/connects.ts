import { connectionLimit, type Metric, type Scenario } from "../lib/scenario.ts";
import { median } from "../lib/statistics.ts";

export const CONNECTS: Metric = { name: "connects", unit: "connects/s", better: "higher" };

export const connects: Scenario = {
  name: "connects",
  title: "Connects per second",
  description:
    "New clients, 64 at a time, until 2,000 (quick: 300) are connected, and logged in if there is a login: " +
    "netconduit's two round trips of SCRAM-SHA-256 are included, WebSockets only upgrade. Five times (quick: once) in a " +
    "warm process, of which the median counts: V8's large collections also discard compiled code, so that every fifth " +
    "time or so is slow. The warm-up does the same for 3 s (on Bun and Deno 2 s; quick: 0.5 s); in it, netconduit's " +
    "clients derive the key from the password once.",
  needs: ["connects"],
  pairs: "each",
  peers: null,
  quick: true,
  maxRounds: 2,
  roundsOfClose: { netconduit: 5, ws: 5 },
  async measure(context) {
    const { plan, pair, withSession, sample, absent } = context;
    const count = plan.quick ? 300 : 2000;
    const warmUpMs = plan.quick ? 500 : pair.server === "node" ? 3000 : 2000;
    const tooMany = connectionLimit(context, count);
    if (tooMany !== null) return absent("", tooMany);
    await withSession({ maxConnections: count + 100 }, async (session) => {
      const warmAt = performance.now() + warmUpMs;
      do {
        await session.connect(count);
        await session.disconnect();
      } while (performance.now() < warmAt);
      const rates: number[] = [];
      for (let time = 0; time < (plan.quick ? 1 : 5); time++) {
        rates.push(count / (await session.connect(count)));
        await session.disconnect();
      }
      sample("64 at a time", CONNECTS, median(rates));
    });
  },
};
