import { connectionLimit, type Metric, type Scenario } from "../lib/scenario.ts";

export const CONNECTS: Metric = { name: "connects", unit: "connects/s", better: "higher" };

export const connects: Scenario = {
  name: "connects",
  title: "Connects per second",
  description:
    "New clients, 64 at a time, until 1,000 (quick: 300) are connected, and logged in where there is a login: " +
    "netconduit's SCRAM-SHA-256 counts, WebSockets only upgrade. The key that netconduit derives from the password " +
    "once per process was derived before; all others begin warm, too.",
  needs: ["connects"],
  pairs: "each",
  peers: null,
  quick: true,
  maxRounds: 3,
  async measure(context) {
    const { plan, withSession, sample, absent } = context;
    const count = plan.quick ? 300 : 1000;
    const tooMany = connectionLimit(context, count);
    if (tooMany !== null) return absent("", tooMany);
    await withSession({ maxConnections: count + 100 }, async (session) => {
      await session.connect(count / 2);
      await session.disconnect();
      sample("64 at a time", CONNECTS, count / (await session.connect(count)));
    });
  },
};
