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

/** One attack on one runtime's server. */
export interface AttackResult {
  readonly name: string;
  readonly runtime: RuntimeName;
  /** Results of the honest clients. */
  readonly does: "calls" | "logins";
  /** Honest calls or logins before the attack, and beside it. */
  readonly before: Latencies;
  readonly beside: Latencies;
  /** Memory of the server before the attack, and the most it has used. */
  readonly memoryMiB: number;
  readonly peakMiB: number;
  /** Memory that it held at the end of the attack, after a collection; null unless asked for. */
  readonly heldMiB: number | null;
  readonly errorBytes: number;
  /** Null if the server was gone. */
  readonly server: ServerReport | null;
  readonly outcome: AttackOutcome;
  /** How the server ended, if it did. */
  readonly exit: string | null;
}

export interface AttackTimes {
  /** Honest clients work so long before they are measured. */
  readonly warmUpMs: number;
  readonly beforeMs: number;
  readonly attackMs: number;
  /**
   * Whether the attacker runs only while a processor is free: a real one is on another machine and takes no processor from
   * honest clients. Beside other programs it may not run at all. Default: false.
   */
  readonly attackerYields?: boolean;
  /** Whether what the server holds is measured in the end, which stops it for a moment. Node.js only. Default: false. */
  readonly measuresHeld?: boolean;
  /** Ends the attack as soon as it returns true, before its time is over. Default: the time alone ends it. */
  readonly isEnough?: (outcome: AttackOutcome, server: ServerReport) => boolean;
}

/** How often `isEnough` is asked. */
const LOOK_MS = 100;

/**
 * Runs an attack: the server, honest clients and the attacker are a process each.
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
    // The first calls compile the code.
    await sleep(times.warmUpMs);
    await honest.ask("take");
    await sleep(times.beforeMs);
    const before = await honest.ask<Latencies>("take");
    const { memoryMiB, errorBytes } = server;
    const hostilePort = await attacker.ask<number>("start", { name: attack.name, target: place });
    if (hostilePort > 0) await server.ask("dial", hostilePort);
    const endsAt = performance.now() + (attack.seconds === undefined ? times.attackMs : attack.seconds * 1000);
    const isOver = async (): Promise<boolean> =>
      performance.now() >= endsAt ||
      server.exit !== null ||
      times.isEnough?.(await attacker.ask<AttackOutcome>("look"), await server.ask<ServerReport>("report")) === true;
    if (times.isEnough === undefined) await sleep(endsAt - performance.now());
    else while (!(await isOver())) await sleep(LOOK_MS);
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
