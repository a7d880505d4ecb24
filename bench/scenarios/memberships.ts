import { connectionLimit, type Metric, type Scenario } from "../lib/scenario.ts";

const CONNECTIONS = 1000;
const MEMBERS = 10;
const HEAP: Metric = { name: "heap", unit: "B heap", better: "lower" };
const JOINS: Metric = { name: "joins", unit: "joins/s", better: "higher" };
const LEAVES: Metric = { name: "leaves", unit: "leaves/s", better: "higher" };

export const memberships: Scenario = {
  name: "memberships",
  title: "Memory and speed of memberships",
  description:
    "100,000 topics with 10 members each, of 1,000 connections (quick: 10,000 topics): heap that a membership takes on the " +
    "server, and how many members join and leave per second. netconduit tells the client of each; a room of socket.io is the " +
    "server's alone.",
  needs: ["memory"],
  pairs: "node",
  peers: ["netconduit", "socket.io"],
  quick: true,
  maxRounds: 1,
  async measure(context) {
    const { plan, withSession, sample, absent } = context;
    const tooMany = connectionLimit(context, CONNECTIONS);
    if (tooMany !== null) return absent("", tooMany);
    const topics = plan.quick ? 10_000 : 100_000;
    await withSession({ maxConnections: CONNECTIONS + 100 }, async (session) => {
      await session.connect(CONNECTIONS);
      const { joinSeconds, leaveSeconds, heapBytes } = await session.server.call("memberships", {
        topics,
        members: MEMBERS,
      });
      const variant = `${topics} topics × ${MEMBERS}`;
      sample(variant, HEAP, heapBytes / topics / MEMBERS);
      sample(variant, JOINS, (topics * MEMBERS) / joinSeconds);
      sample(variant, LEAVES, (topics * MEMBERS) / leaveSeconds);
    });
  },
};
