/**
 * A short form of `pnpm attacks`. Latencies of a busy machine prove nothing, so these tests look at what noise doesn't
 * change: the server lives, honest clients are answered, memory stays below a bound, and the attacker's end.
 */
import { describe, expect, test } from "vitest";
import { RUNTIMES } from "../docs-tests/lib/runtimes.ts";
import { attacks } from "./index.ts";
import type { Attack } from "./lib/attack.ts";
import { type AttackResult, runAttack } from "./lib/run-attack.ts";

const TIMES = { warmUpMs: 0, beforeMs: 0, attackMs: 1000 };

function attackCalled(name: string): Attack {
  const attack = attacks.find((one) => one.name.includes(name));
  if (attack === undefined) throw new Error(`No attack's name has '${name}'`);
  return attack;
}

async function result(
  name: string,
  runtime: (typeof RUNTIMES)[number],
  seconds: number,
  measuresHeld = false,
): Promise<AttackResult> {
  const found = await runAttack({ ...attackCalled(name), seconds }, runtime, { ...TIMES, measuresHeld });
  expect(found.exit).toBeNull();
  expect(found.server).not.toBeNull();
  expect(found.beside.count).toBeGreaterThan(0);
  return found;
}

// They wait more than they work.
describe.each(RUNTIMES)("a server on %s", { concurrent: true }, (runtime) => {
  test("outlives hostile servers that its process dials", async () => {
    const { server } = await result("hostile servers", runtime, 4);
    expect(Object.keys(server?.dials ?? {})).toEqual(expect.arrayContaining(["NOT_NETCONDUIT", "CONNECTION_CLOSED"]));
  });

  test("lets honest clients in over a Unix socket that others guess passwords over", async () => {
    const { beside, server } = await result("honest clients' Unix socket", runtime, 3);
    expect([beside.failures, (server?.authFailures ?? 0) > 0]).toEqual([0, true]);
  });

  test("ends frames that arrive a byte a second with FRAME_TIMEOUT", async () => {
    const { outcome } = await result("a byte a second, 100", runtime, 10);
    expect(outcome.events["cut: FRAME_TIMEOUT"]).toBeGreaterThan(0);
  });
});

test("a server bounds what it holds for clients that send CLOSE and linger", async () => {
  const { memoryMiB, peakMiB } = await result("then CLOSE and linger", "node", 3);
  expect(peakMiB - memoryMiB).toBeLessThan(1500);
});

test("a server bounds what it holds for subscribers that don't read, and for ever new topics", async () => {
  const unread = await result("subscribers that don't read", "node", 3);
  expect(unread.peakMiB - unread.memoryMiB).toBeLessThan(600);
  const topics = await result("ever new topics", "node", 2);
  expect(topics.peakMiB - topics.memoryMiB).toBeLessThan(600);
});

test("a server bounds what it holds for streams that are never read", async () => {
  const { heldMiB } = await result("10,000 streams of 64 KiB items", "node", 3, true);
  expect(heldMiB).toBeLessThan(400);
});

test("every attack has a name of its own", () => {
  expect(new Set(attacks.map(({ name }) => name)).size).toBe(attacks.length);
});
