import type { StreamKind } from "../lib/peer.ts";
import type { Metric, Scenario, ScenarioContext } from "../lib/scenario.ts";
import type { Session } from "../lib/session.ts";
import { BULK_WARMUP_SECONDS, SPEED } from "./binary.ts";
import { compileLoad, measureLoad, P50 } from "./rpc.ts";

const ITEMS: Metric = { name: "items", unit: "items/s", better: "higher" };
const STREAMS: Metric = { name: "operations", unit: "/s", better: "higher" };
const HELD: Metric = { name: "held", unit: "KiB", better: "lower" };

/** Kinds of streams that each peer supports. */
const KINDS: Readonly<Record<string, readonly StreamKind[]>> = {
  raw: ["blocks"],
  netconduit: ["items", "blocks"],
  ws: ["items"],
  "grpc-js": ["items"],
};
const OPERATIONS = [
  { kind: "call", what: "a call" },
  { kind: "openStream", what: "a stream of one item" },
] as const;
const STALLED = 200;
const WARMUP_STALLED = 10;

async function measureStream({ plan, sample }: ScenarioContext, session: Session, kind: StreamKind): Promise<void> {
  await session.client.call("stream", { kind, seconds: plan.quick ? plan.warmupSeconds : BULK_WARMUP_SECONDS });
  const { items, bytes, seconds } = await session.client.call("stream", { kind, seconds: plan.seconds });
  if (kind === "items") sample("64 B items", ITEMS, items / seconds);
  else sample("64 KiB items", SPEED, bytes / seconds / 1e6);
}

/** Compares a stream with a single item to a call. */
async function measureOpening({ plan, sample }: ScenarioContext, session: Session): Promise<void> {
  for (const { kind } of OPERATIONS) await compileLoad(session, plan, { kind, inFlight: 64, methods: 1 });
  for (const { kind, what } of OPERATIONS) {
    const one = await measureLoad(session, plan, { kind, inFlight: 1, methods: 1 });
    if (one.p50 !== null) sample(`${what}, one in flight`, P50, one.p50);
    const { perSecond } = await measureLoad(session, plan, { kind, inFlight: 64, methods: 1 });
    sample(`${what}, 64 in flight`, STREAMS, perSecond);
  }
}

async function measureStalled({ sample }: ScenarioContext, session: Session): Promise<void> {
  await session.client.call("stallStreams", { count: WARMUP_STALLED });
  const before = (await session.memory()).heldBytes ?? 0;
  await session.client.call("stallStreams", { count: STALLED });
  const after = (await session.memory()).heldBytes ?? 0;
  sample("a stalled stream of 64 KiB items", HELD, (after - before) / STALLED / 1024);
}

export const streams: Scenario = {
  name: "streams",
  title: "Streams",
  description:
    "Items `{n, text}` of about 64 bytes from the server, numbers checked, beside messages of `ws` and a server stream " +
    "of gRPC; binary items of 64 KiB beside bytes that arrive on a bare socket; a stream of one item, opened and read " +
    "to its end, beside a call; and what a server holds (heap and buffers after a collection) for each stream that its " +
    "client doesn't read.",
  needs: ["rpc"],
  pairs: "node",
  peers: Object.keys(KINDS),
  quick: true,
  maxRounds: 3,
  async measure(context) {
    const { peer, withSession, absent } = context;
    const kinds = KINDS[peer.name];
    if (kinds === undefined) return absent("", "is measured without streams");
    await withSession({}, async (session) => {
      await session.connect(1);
      for (const kind of kinds) await measureStream(context, session, kind);
      if (peer.name !== "netconduit") return;
      await measureOpening(context, session);
      await measureStalled(context, session);
    });
  },
};
