import type { TransferArgs } from "../lib/commands.ts";
import type { Metric, Plan, Scenario } from "../lib/scenario.ts";
import type { Session } from "../lib/session.ts";

export const SPEED: Metric = { name: "speed", unit: "MB/s", better: "higher" };
export const MESSAGE_COST: Metric = { name: "message", unit: "µs", better: "lower" };

export const KIB = 1024;
export const MIB = 1024 * KIB;
/**
 * With every peer, bulk data gets faster over time, because the system's allocator retains more and more memory
 * (NOTES.md, "The bench").
 */
export const BULK_WARMUP_SECONDS = 3;
/** Number of bytes in flight. */
const WINDOW_BYTES = 4 * MIB;
const MAX_IN_FLIGHT = 64;

/** Warms up and measures; returns MB/s (10^6 bytes) and microseconds per message. */
export async function measureTransfer(
  session: Session,
  plan: Plan,
  direction: TransferArgs["direction"],
  bytes: number,
): Promise<{ megabytesPerSecond: number; microseconds: number }> {
  const inFlight = Math.min(Math.max(Math.floor(WINDOW_BYTES / bytes), 1), MAX_IN_FLIGHT);
  const warmupSeconds = plan.quick ? plan.warmupSeconds : BULK_WARMUP_SECONDS;
  await session.client.call("transfer", { direction, bytes, inFlight, seconds: warmupSeconds });
  const { messages, seconds } = await session.client.call("transfer", {
    direction,
    bytes,
    inFlight,
    seconds: plan.seconds,
  });
  return { megabytesPerSecond: (messages * bytes) / seconds / 1e6, microseconds: (seconds / messages) * 1e6 };
}

const DIRECTIONS = [
  { direction: "upload", to: "to the server" },
  { direction: "download", to: "to the client" },
] as const;
const SIZES = [
  { bytes: 64 * KIB, size: "64 KiB" },
  { bytes: MIB, size: "1 MiB" },
] as const;

export const binary: Scenario = {
  name: "binary",
  title: "Binary messages",
  description:
    "Messages of 64 KiB and 1 MiB in each direction over one connection, 4 MiB in flight; length and content are " +
    "checked. Received data is kept as the application's own. A MB is 10^6 bytes.",
  needs: ["binary"],
  pairs: "each",
  peers: null,
  quick: true,
  maxRounds: 2,
  roundsOfClose: { raw: 4, netconduit: 4 },
  async measure({ plan, withSession, sample }) {
    await withSession({ maxPayloadBytes: MIB }, async (session) => {
      await session.connect(1);
      for (const { bytes, size } of SIZES) {
        for (const { direction, to } of DIRECTIONS) {
          const { megabytesPerSecond } = await measureTransfer(session, plan, direction, bytes);
          sample(`${size} ${to}`, SPEED, megabytesPerSecond);
        }
      }
    });
  },
};

const PAYLOADS = [
  { bytes: 16, size: "16 B" },
  { bytes: KIB, size: "1 KiB" },
  { bytes: 64 * KIB, size: "64 KiB" },
  { bytes: MIB, size: "1 MiB" },
  { bytes: 16 * MIB, size: "16 MiB" },
] as const;

export const payload: Scenario = {
  name: "payload",
  title: "Growth: size of a message",
  description:
    "Binary messages of 16 B to 16 MiB to the server; up to 64 messages and 4 MiB in flight (16 MiB for the largest).",
  needs: ["binary"],
  pairs: "node",
  peers: ["raw", "bare", "netconduit", "ws"],
  quick: false,
  maxRounds: 2,
  async measure({ plan, withSession, sample }) {
    await withSession({ maxPayloadBytes: 16 * MIB }, async (session) => {
      await session.connect(1);
      for (const { bytes, size } of PAYLOADS) {
        const { megabytesPerSecond, microseconds } = await measureTransfer(session, plan, "upload", bytes);
        sample(size, SPEED, megabytesPerSecond);
        sample(size, MESSAGE_COST, microseconds);
      }
    });
  },
};
