import { execFile } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
/** A cluster is three processes. */
const SLOW = { timeout: 60_000 };

async function run(policy: "rr" | "none"): Promise<{ served: number[]; exits: number[] }> {
  const flags = ["--disable-warning=ExperimentalWarning", "--import", "./docs-tests/lib/sources-hook.ts"];
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, "conformance/cluster/program.ts", policy], {
    cwd: ROOT,
  });
  return JSON.parse(stdout);
}

test("the workers of a cluster share its clients, and end", SLOW, async () => {
  const { served, exits } = await run("rr");
  expect([served.length, new Set(served), exits]).toEqual([20, new Set([1, 2]), [0, 0]]);
});

test("the workers of a cluster that accept by themselves serve all its clients, and end", SLOW, async () => {
  const { served, exits } = await run("none");
  expect([served.length, served.every((id) => id === 1 || id === 2), exits]).toEqual([20, true, [0, 0]]);
});
