import type { FileArgs } from "../lib/commands.ts";
import type { Metric, Scenario, ScenarioContext } from "../lib/scenario.ts";
import type { Session } from "../lib/session.ts";
import { MIB, SPEED } from "./binary.ts";

const GROWTH: Metric = { name: "growth", unit: "MiB", better: "lower" };
const FILE_MIB = 1024;
const QUICK_MIB = 128;
const WARMUP_MIB = 64;
const PEERS = ["raw", "netconduit", "scp"];
const DIRECTIONS = [
  { direction: "upload", to: "to the server" },
  { direction: "download", to: "to the client" },
] as const;

/** Transfers a file; returns the seconds and the memory growth of each side during the transfer. */
async function move(session: Session, args: FileArgs) {
  const { server, client } = session;
  await Promise.all([server.call("watchMemory", null), client.call("watchMemory", null)]);
  const { seconds } = await client.call("file", args);
  const [ofServer, ofClient] = await Promise.all([
    server.call("memoryGrowth", null),
    client.call("memoryGrowth", null),
  ]);
  return { seconds, server: ofServer, client: ofClient };
}

async function measureDirection(
  context: ScenarioContext,
  session: Session,
  mib: number,
  { direction, to }: (typeof DIRECTIONS)[number],
) {
  const { sample } = context;
  const bytes = mib * MIB;
  const { seconds, server, client } = await move(session, { direction, bytes });
  sample(`a file ${to}`, SPEED, bytes / seconds / 1e6);
  // scp copies in separate processes.
  if (context.peer.name === "scp") return;
  sample(`a file ${to}: server`, GROWTH, server / MIB);
  sample(`a file ${to}: client`, GROWTH, client / MIB);
}

export const files: Scenario = {
  name: "files",
  title: "Files",
  description:
    "A file of 1 GiB (quick: 128 MiB) from folder to folder, both in memory where the system has /dev/shm, hashed with " +
    "SHA-256 by both sides and synced, over bare TCP and with `upload` and `download`, and by `scp`, which does neither; " +
    "and by how much the resident memory of each process grows meanwhile, at most, sampled every 10 ms.",
  needs: [],
  pairs: "node",
  peers: PEERS,
  quick: true,
  maxRounds: 3,
  async measure(context) {
    if (!PEERS.includes(context.peer.name)) return context.absent("", "is measured without files");
    const mib = context.plan.quick ? QUICK_MIB : FILE_MIB;
    await context.withSession({}, async (session) => {
      await session.connect(1);
      for (const { direction } of DIRECTIONS) await move(session, { direction, bytes: WARMUP_MIB * MIB });
      for (const way of DIRECTIONS) await measureDirection(context, session, mib, way);
    });
  },
};
