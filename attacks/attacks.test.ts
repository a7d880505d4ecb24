/**
 * A short form of `pnpm attacks`. Latencies on a busy machine prove nothing, so these tests check what noise doesn't
 * affect: the server survives, honest clients get answers, memory stays below a bound, and the attacker's outcome.
 */
import { describe, expect, test } from "vitest";
import { RUNTIMES } from "../docs-tests/lib/runtimes.ts";
import { FORMS } from "./hostile-servers.ts";
import { attacks } from "./index.ts";
import type { Attack } from "./lib/attack.ts";
import { type AttackResult, type AttackTimes, runAttack } from "./lib/run-attack.ts";

const TIMES = { warmUpMs: 0, beforeMs: 0, attackMs: 1000 };
/** 20/s for two seconds. */
const GUESSES = 40;
/** Enough to reach each form while eight clients are still dialling. */
const DIALS = FORMS.length + 8;

function attackCalled(name: string): Attack {
  const attack = attacks.find((one) => one.name.includes(name));
  if (attack === undefined) throw new Error(`No attack's name has '${name}'`);
  return attack;
}

/** Runs an attack until `isEnough` returns true, at most for `seconds`. */
async function result(
  name: string,
  runtime: (typeof RUNTIMES)[number],
  seconds: number,
  options: Partial<AttackTimes>,
): Promise<AttackResult> {
  const found = await runAttack({ ...attackCalled(name), seconds }, runtime, { ...TIMES, ...options });
  expect(found.exit).toBeNull();
  expect(found.server).not.toBeNull();
  expect(found.beside.count).toBeGreaterThan(0);
  return found;
}

/** Time limit of attacks that end by `isEnough`, generous because machines may be busy. */
const PATIENCE = 30;

function sum(counts: Readonly<Record<string, number>> = {}): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}

// The tests mostly wait, so run them concurrently.
describe.each(RUNTIMES)("a server on %s", { concurrent: true, timeout: 120_000 }, (runtime) => {
  test("outlives hostile servers of each form that its process dials", async () => {
    const { server } = await result("hostile servers", runtime, PATIENCE, {
      isEnough: (_outcome, { dials }) => sum(dials) >= DIALS,
    });
    expect(sum(server?.dials)).toBeGreaterThanOrEqual(DIALS);
    expect(Object.keys(server?.dials ?? {})).toEqual(expect.arrayContaining(["NOT_NETCONDUIT", "CONNECTION_CLOSED"]));
  });

  test("lets honest clients in over a Unix socket that others guess passwords over", async () => {
    const { beside, server } = await result("honest clients' Unix socket", runtime, PATIENCE, {
      isEnough: (_outcome, { authFailures }) => authFailures >= GUESSES,
    });
    expect(beside.failures).toBe(0);
    expect(server?.authFailures).toBeGreaterThanOrEqual(GUESSES);
  });

  test("ends frames that arrive a byte a second with FRAME_TIMEOUT", async () => {
    const { outcome } = await result("a byte a second, 100", runtime, PATIENCE, {
      isEnough: ({ events }) => (events["cut: FRAME_TIMEOUT"] ?? 0) > 0,
    });
    expect(outcome.events["cut: FRAME_TIMEOUT"]).toBeGreaterThan(0);
  });
});

// Attacks that produce garbage are omitted, because its amount depends on the machine.
test.each([
  ["clients that send CLOSE and linger", "then CLOSE and linger", 500],
  ["subscribers that don't read", "subscribers that don't read", 150],
  ["ever new topics", "ever new topics", 200],
  ["streams that are never read", "10,000 streams of 64 KiB items", 400],
])("a server bounds what it holds for %s", { timeout: 120_000 }, async (_what, name, mostMiB) => {
  const { heldMiB } = await result(name, "node", 3, { measuresHeld: true });
  expect(heldMiB).toBeLessThan(mostMiB);
});

test("every attack has a name of its own", () => {
  expect(new Set(attacks.map(({ name }) => name)).size).toBe(attacks.length);
});
