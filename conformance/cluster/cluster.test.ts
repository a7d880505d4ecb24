import { execFile } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { NODE_SOURCES } from "../../docs-tests/lib/runtimes.ts";

const ROOT = join(import.meta.dirname, "../..");
/** A cluster consists of three processes. */
const SLOW = { timeout: 60_000 };

async function run(program: string, ...args: string[]) {
  const { stdout } = await promisify(execFile)(process.execPath, [...NODE_SOURCES, program, ...args], { cwd: ROOT });
  return JSON.parse(stdout);
}

function share(policy: "rr" | "none"): Promise<{ served: number[]; exits: number[] }> {
  return run("conformance/cluster/program.ts", policy);
}

test("a cluster's workers share its clients and exit", SLOW, async () => {
  const { served, exits } = await share("rr");
  expect([served.length, new Set(served), exits]).toEqual([20, new Set([1, 2]), [0, 0]]);
});

test("a cluster's workers that accept connections themselves serve all its clients and exit", SLOW, async () => {
  const { served, exits } = await share("none");
  expect([served.length, served.every((id) => id === 1 || id === 2), exits]).toEqual([20, true, [0, 0]]);
});

test(
  "a worker that is told to disconnect serves its clients to the end, and handlers still reach the primary",
  SLOW,
  async () => {
    expect(await run("conformance/cluster/departing.ts")).toEqual({
      replies: ["served", "served"],
      message: "from the running handler",
      code: 0,
    });
  },
);
