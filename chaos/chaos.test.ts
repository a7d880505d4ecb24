/**
 * A short form of `pnpm chaos`: 20,000 ids, three pairs in which each runtime has each role, and deliberate faults
 * that must be detected.
 */
import { describe, expect, test } from "vitest";
import type { RuntimeName } from "../docs-tests/lib/runtimes.ts";
import { type RunOptions, type RunResult, runPair } from "./lib/pair-run.ts";
import { problemsOf } from "./lib/table.ts";

const PAIRS: readonly (readonly [server: RuntimeName, client: RuntimeName])[] = [
  ["node", "bun"],
  ["bun", "deno"],
  ["deno", "node"],
];
const SEED = 20_261_129;
const PATIENT = { timeout: 600_000 };

function run(options: Partial<RunOptions>): Promise<RunResult> {
  return runPair({
    server: "node",
    client: "node",
    mode: "cuts",
    messages: 5000,
    seed: SEED,
    actions: 1,
    meanBytes: 150_000,
    ...options,
  });
}

// The tests mostly wait, so run them concurrently.
describe.each(PAIRS)("a server on %s and a client on %s", { concurrent: true, ...PATIENT }, (server, client) => {
  test("lose nothing and handle nothing twice, though their connections are cut and they are stopped", async () => {
    const result = await run({ server, client });
    expect(problemsOf(result), `seed ${SEED}`).toEqual([]);
    expect(result.forwarder.cuts).toBeGreaterThan(10);
  });

  test("lose nothing that was acknowledged, though they are killed", async () => {
    const result = await run({ server, client, mode: "kills", messages: 850 });
    expect(problemsOf(result), `seed ${SEED}`).toEqual([]);
    expect(result.kills).toBe(2);
  });

  test("carry nothing out twice, though a server that has a store is killed", async () => {
    const result = await run({ server, client, mode: "store", messages: 850 });
    expect(problemsOf(result), `seed ${SEED}`).toEqual([]);
    expect(result.kills).toBe(2);
  });
});

describe("a mistake is counted", { concurrent: true, ...PATIENT }, () => {
  const planted = { messages: 500, actions: 0 };

  test("of a receiver that drops a message", async () => {
    const { tally } = await run({ ...planted, fault: "drops" });
    expect([tally.lost, tally.double, tally.disordered]).toEqual([4, 0, 0]);
  });

  test("of a receiver that swaps two messages", async () => {
    const { tally } = await run({ ...planted, fault: "swaps" });
    expect([tally.lost, tally.double, tally.disordered]).toEqual([0, 0, 4]);
  });

  test("of a sender whose content changes on its way", async () => {
    const { faults } = await run({ ...planted, fault: "spoils" });
    expect(faults.filter((fault) => fault.endsWith("the content of 7 is not intact"))).toHaveLength(8);
  });

  test("of a sender that sends again with another key", async () => {
    const { tally } = await run({ ...planted, fault: "resends" });
    expect([tally.lost, tally.double, tally.disordered]).toEqual([0, 4, 0]);
  });
});
