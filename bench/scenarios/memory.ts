import { connectionLimit, type Metric, type Scenario } from "../lib/scenario.ts";

export const RSS: Metric = { name: "rss", unit: "KiB RSS", better: "lower" };
export const HEAP: Metric = { name: "heap", unit: "KiB heap", better: "lower" };

const LEVELS = [1_000, 10_000] as const;
/** Connections opened and closed before the first reading, so that code is loaded and pools are filled. */
const WARMUP_CONNECTIONS = 100;
const KIB = 1024;

export const memory: Scenario = {
  name: "memory",
  title: "Memory per idle connection",
  description:
    "Memory that 1,000 and 10,000 idle connections add to the server's process, for each connection: resident memory, and " +
    "heap after a collection. Each is logged in and has made one call.",
  needs: ["memory"],
  pairs: "node",
  peers: null,
  quick: false,
  maxRounds: 2,
  async measure(context) {
    const { plan, withSession, sample, absent } = context;
    await withSession(
      { maxConnections: Math.min(LEVELS.at(-1) as number, plan.maxConnections) + 100 },
      async (session) => {
        await session.connect(WARMUP_CONNECTIONS);
        await session.disconnect();
        const before = await session.memory();
        let open = 0;
        for (const level of LEVELS) {
          const variant = `${level} connections`;
          const tooMany = connectionLimit(context, level);
          if (tooMany !== null) {
            absent(variant, tooMany);
            continue;
          }
          await session.connect(level - open);
          await session.client.call("callEach", null);
          open = level;
          const { rssBytes, heapBytes } = await session.memory();
          sample(variant, RSS, (rssBytes - before.rssBytes) / level / KIB);
          if (heapBytes !== null && before.heapBytes !== null) {
            sample(variant, HEAP, (heapBytes - before.heapBytes) / level / KIB);
          }
        }
      },
    );
  },
};
