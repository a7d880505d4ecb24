import { connectionLimit, type Scenario } from "../lib/scenario.ts";
import { DELIVERIES, measureBroadcast } from "./broadcast.ts";

const SUBSCRIBERS = 1000;
const CONNECTIONS = 10_000;
const BURSTS = [
  { variant: "one at a time", perTurn: 1 },
  { variant: "ten in a tick", perTurn: 10 },
] as const;

export const topics: Scenario = {
  name: "topics",
  title: "Publish to 1,000 subscribers of a topic",
  description:
    "One message of about 92 bytes to each of 1,000 subscribers of a topic among 10,000 connections (quick: among " +
    "1,000), the next when all have received it; and ten messages in one turn of the event loop, the next ten when " +
    "all have received all. Every delivery is checked. With 1,000 connections, a broadcast to all of them beside it.",
  needs: ["broadcast"],
  pairs: "node",
  peers: ["netconduit", "socket.io", "nats"],
  quick: true,
  maxRounds: 2,
  async measure(context) {
    const { plan, withSession, sample, absent } = context;
    const most = plan.quick ? SUBSCRIBERS : CONNECTIONS;
    const tooMany = connectionLimit(context, most);
    if (tooMany !== null) return absent("", tooMany);
    await withSession({ maxConnections: most + 100 }, async (session) => {
      await session.connect(SUBSCRIBERS);
      await measureBroadcast(session, SUBSCRIBERS, 1, plan.warmupSeconds);
      for (const { variant, perTurn } of BURSTS) {
        const deliveries = await measureBroadcast(session, SUBSCRIBERS, perTurn, plan.seconds);
        sample(`broadcast, ${variant}`, DELIVERIES, deliveries);
      }
      if (most > SUBSCRIBERS) await session.connect(most - SUBSCRIBERS);
      await measureBroadcast(session, SUBSCRIBERS, 1, plan.warmupSeconds, true);
      for (const { variant, perTurn } of BURSTS) {
        const deliveries = await measureBroadcast(session, SUBSCRIBERS, perTurn, plan.seconds, true);
        sample(`topic, ${variant}`, DELIVERIES, deliveries);
      }
    });
  },
};
