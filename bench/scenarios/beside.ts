import type { TransferArgs } from "../lib/commands.ts";
import type { Metric, Scenario } from "../lib/scenario.ts";
import type { Session } from "../lib/session.ts";
import { MIB } from "./binary.ts";
import { P50 } from "./rpc.ts";

const P99: Metric = { name: "p99", unit: "µs", better: "lower" };
const RATIO: Metric = { name: "p99 × alone", unit: "×", better: "lower" };
const LARGE_BYTES = 64 * MIB;
const ONE = { kind: "call", inFlight: 1, methods: 1 } as const;

/** Measures percentiles of small calls in µs, with one in flight. */
async function smallCalls(session: Session, seconds: number): Promise<{ p50: number; p99: number }> {
  const { medianMs, p99Ms } = await session.client.call("load", { ...ONE, seconds });
  return { p50: (medianMs ?? Number.NaN) * 1000, p99: (p99Ms ?? Number.NaN) * 1000 };
}

const BESIDE: readonly { readonly variant: string; readonly direction: TransferArgs["direction"] | null }[] = [
  { direction: "upload", variant: "64 MiB to the server" },
  { direction: "download", variant: "64 MiB to the client" },
  { direction: null, variant: "streams of 64 KiB both ways" },
];

/** Keeps a large message in flight for the given time; without a direction, streams in both directions. */
function startBulk(
  { client }: Session,
  direction: TransferArgs["direction"] | null,
  seconds: number,
): Promise<unknown> {
  if (direction === null) return client.call("streamBothWays", { seconds });
  return client.call("transfer", { direction, bytes: LARGE_BYTES, inFlight: 1, seconds });
}

export const beside: Scenario = {
  name: "beside",
  title: "Small calls beside large messages",
  description:
    "`add({a, b})`, one in flight, on a connection on which a binary message of 64 MiB is always on its way in one " +
    "direction, or a stream of 64 KiB items in each. The ratio is that of p99 with and without it. The raw calls have a " +
    "socket of their own: they wait for nothing but the two processes.",
  needs: ["rpc", "binary"],
  pairs: "each",
  peers: ["raw", "netconduit", "ws"],
  quick: true,
  maxRounds: 2,
  async measure({ peer, plan, withSession, sample }) {
    await withSession({ maxPayloadBytes: LARGE_BYTES }, async (session) => {
      await session.connect(1);
      await smallCalls(session, plan.warmupSeconds);
      const alone = await smallCalls(session, plan.seconds);
      sample("alone", P50, alone.p50);
      sample("alone", P99, alone.p99);
      for (const { direction, variant } of BESIDE) {
        if (direction === null && peer.name === "ws") continue;
        // Includes the time for creating the large message.
        const warmupSeconds = plan.warmupSeconds + 0.5;
        const bulk = startBulk(session, direction, warmupSeconds + plan.seconds);
        await smallCalls(session, warmupSeconds);
        const { p50, p99 } = await smallCalls(session, plan.seconds);
        await bulk;
        sample(variant, P50, p50);
        sample(variant, P99, p99);
        sample(variant, RATIO, p99 / alone.p99);
      }
    });
  },
};
