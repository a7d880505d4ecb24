import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { RuntimeName } from "../../docs-tests/lib/runtimes.ts";
import type { HonestWork } from "../honest.ts";
import type { ServerReport } from "../server.ts";
import type { Attack, AttackOutcome } from "./attack.ts";
import type { Latencies } from "./latencies.ts";
import { RoleProcess } from "./role-process.ts";
import type { Place } from "./subject.ts";

/** Result of an attack on a runtime's server. */
export interface AttackResult {
  readonly name: string;
  readonly runtime: RuntimeName;
  /** The honest clients' work. */
  readonly does: "calls" | "logins";
  /** Honest calls or logins before and during the attack. */
  readonly before: Latencies;
  readonly beside: Latencies;
  /** The server's memory before the attack, and its peak. */
  readonly memoryMiB: number;
  readonly peakMiB: number;
  /** Memory held at the end of the attack after a collection; null unless requested. */
  readonly heldMiB: number | null;
  readonly errorBytes: number;
  /** Null if the server has exited. */
  readonly server: ServerReport | null;
  readonly outcome: AttackOutcome;
  /** Exit code or signal of the server if it has exited. */
  readonly exit: string | null;
}

export interface AttackTimes {
  /** Time before honest clients are measured. */
  readonly warmUpMs: number;
  readonly beforeMs: number;
  readonly attackMs: number;
  /**
   * Whether the attacker only runs while a processor is idle: a real attacker is on another machine and doesn't take
   * CPU time from honest clients. On a busy machine it may not run at all. Default: false.
   */
  readonly attackerYields?: boolean;
  /** Whether to measure the memory held at the end, which briefly stops the server. Node.js only. Default: false. */
  readonly measuresHeld?: boolean;
  /** Ends the attack early when it returns true. Default: the attack only ends by time. */
  readonly isEnough?: (outcome: AttackOutcome, server: ServerReport) => boolean;
}

/** Interval of calling `isEnough`. */
const LOOK_MS = 100;

/**
 * Runs an attack. The server, the honest clients and the attacker are separate processes.
 */
export async function runAttack(attack: Attack, runtime: RuntimeName, times: AttackTimes): Promise<AttackResult> {
  const folder = await mkdtemp(join(tmpdir(), "netconduit-"));
  const [server, honest, attacker] = await Promise.all([
    RoleProcess.start("server.ts", { runtime, descriptors: attack.descriptors }),
    RoleProcess.start("honest.ts"),
    RoleProcess.start("attacker.ts"),
  ]);
  if (times.attackerYields === true) attacker.yieldProcessors();
  try {
    const place = await server.ask<Place>("start", { setup: attack.server ?? {}, folder });
    const { honest: does = "calls", honestUser: user = null, roundTripMs = 0, server: { tls = false } = {} } = attack;
    await honest.ask("start", { place, does, user, tls, roundTripMs } satisfies HonestWork);
    // The first calls include compilation.
    await sleep(times.warmUpMs);
    await honest.ask("take");
    await sleep(times.beforeMs);
    const before = await honest.ask<Latencies>("take");
    const { memoryMiB, errorBytes } = server;
    const hostilePort = await attacker.ask<number>("start", { name: attack.name, target: place });
    if (hostilePort > 0) await server.ask("dial", hostilePort);
    const endsAt = performance.now() + (attack.seconds === undefined ? times.attackMs : attack.seconds * 1000);
    const hasEnded = async (): Promise<boolean> =>
      performance.now() >= endsAt ||
      server.exit !== null ||
      times.isEnough?.(await attacker.ask<AttackOutcome>("look"), await server.ask<ServerReport>("report")) === true;
    if (times.isEnough === undefined) await sleep(endsAt - performance.now());
    else while (!(await hasEnded())) await sleep(LOOK_MS);
    const beside = await honest.ask<Latencies>("take");
    const { peakMiB } = server;
    const heldMiB = times.measuresHeld === true ? await server.ask<number>("held") : null;
    const outcome = await attacker.ask<AttackOutcome>("stop");
    const report = server.exit === null ? await withTimeout(server.ask<ServerReport>("report"), 10_000) : null;
    return {
      name: attack.name,
      runtime,
      does,
      before,
      beside,
      memoryMiB,
      peakMiB,
      heldMiB,
      errorBytes: server.errorBytes - errorBytes,
      server: report,
      outcome,
      exit: server.exit,
    };
  } finally {
    await Promise.all([server.kill(), honest.kill(), attacker.kill()]);
    await rm(folder, { recursive: true });
  }
}

async function withTimeout<T>(work: Promise<T>, ms: number): Promise<T | null> {
  return Promise.race([work, sleep(ms, null)]);
}
