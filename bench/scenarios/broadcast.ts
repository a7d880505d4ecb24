import { connectionLimit, type Metric, type Scenario } from "../lib/scenario.ts";
import type { Session } from "../lib/session.ts";

export const DELIVERIES: Metric = { name: "deliveries", unit: "deliveries/s", better: "higher" };
export const DELIVERY_COST: Metric = { name: "delivery", unit: "µs", better: "lower" };
export const CONNECT_COST: Metric = { name: "connect", unit: "µs", better: "lower" };

/**
 * Broadcasts to `clients` clients, or publishes to as many subscribers, and checks that each received every message
 * once. Returns deliveries/s.
 */
export async function measureBroadcast(
  session: Session,
  clients: number,
  perTurn: number,
  seconds: number,
  topic = false,
): Promise<number> {
  const subscribers = topic ? { subscribers: clients } : {};
  await session.client.call("watch", { signalPort: session.started.signalPort, perTurn, ...subscribers });
  await session.client.call("watched", null);
  const sent = await session.server.call("broadcast", { perTurn, seconds, topic });
  const { deliveries, sum } = await session.client.call("watched", null);
  if (deliveries !== sent.messages * clients || sum !== sent.sum * clients) {
    throw new Error(
      `${sent.messages} broadcasts to ${clients} clients (sum ${sent.sum}) made ${deliveries} deliveries (sum ${sum})`,
    );
  }
  return deliveries / sent.seconds;
}

const CLIENTS = 1000;
const BURSTS = [
  { variant: "one at a time", perTurn: 1, full: { warmupSeconds: 1, seconds: 1 } },
  { variant: "ten in a tick", perTurn: 10, full: null },
] as const;

export const broadcast: Scenario = {
  name: "broadcast",
  title: "Broadcast to 1,000 clients",
  description:
    "One message of about 92 bytes to each of 1,000 clients, the next when all have received it; and ten messages in " +
    "one turn of the event loop, the next ten when all have received all. Every delivery is checked. The warm-up is " +
    "1 s of the former (quick: 0.1 s).",
  needs: ["broadcast"],
  pairs: "each",
  peers: null,
  quick: true,
  maxRounds: 2,
  roundsOfClose: { raw: 5, netconduit: 5, ws: 5, "socket.io": 5 },
  async measure(context) {
    const { plan, withSession, sample, absent } = context;
    const tooMany = connectionLimit(context, CLIENTS);
    if (tooMany !== null) return absent("", tooMany);
    await withSession({ maxConnections: CLIENTS + 100 }, async (session) => {
      await session.connect(CLIENTS);
      for (const { variant, perTurn, full } of BURSTS) {
        const { warmupSeconds, seconds } = plan.quick || full === null ? plan : full;
        await measureBroadcast(session, CLIENTS, perTurn, warmupSeconds);
        sample(variant, DELIVERIES, await measureBroadcast(session, CLIENTS, perTurn, seconds));
      }
    });
  },
};

const LEVELS = [10, 100, 1_000, 10_000] as const;
/** Number of connects before each level that are timed. */
const TIMED_CONNECTS = 100;

export const connections: Scenario = {
  name: "connections",
  title: "Growth: number of connections",
  description:
    "With 10 to 10,000 connections: microseconds for each delivery of a broadcast (one at a time), and for each of " +
    "the last hundred connects, login included.",
  needs: ["broadcast"],
  pairs: "node",
  peers: ["raw", "netconduit", "ws"],
  quick: false,
  maxRounds: 2,
  async measure(context) {
    const { plan, withSession, sample, absent } = context;
    const most = Math.min(LEVELS.at(-1) as number, plan.maxConnections);
    await withSession({ maxConnections: most + 100 }, async (session) => {
      let open = 0;
      for (const level of LEVELS) {
        const variant = `${level} connections`;
        const tooMany = connectionLimit(context, level);
        if (tooMany !== null) {
          absent(variant, tooMany);
          continue;
        }
        const timed = Math.min(TIMED_CONNECTS, level - open);
        if (level - open > timed) await session.connect(level - open - timed);
        const seconds = await session.connect(timed);
        open = level;
        sample(variant, CONNECT_COST, (seconds / timed) * 1e6);
        await measureBroadcast(session, level, 1, plan.warmupSeconds);
        sample(variant, DELIVERY_COST, 1e6 / (await measureBroadcast(session, level, 1, plan.seconds)));
      }
    });
  },
};
