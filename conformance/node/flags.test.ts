/** Node.js with flags that forbid access to its internals. */
import { execFile, execFileSync } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { NODE_SOURCES } from "../../docs-tests/lib/runtimes.ts";

const ROOT = join(import.meta.dirname, "../..");

/** Since Node.js 25, `--permission` also forbids network access. NETCONDUIT_NODE selects another binary to test. */
const NODE = process.env["NETCONDUIT_NODE"] ?? process.execPath;
const asked = execFileSync(NODE, ["-p", 'process.allowedNodeEnvironmentFlags.has("--allow-net")'], {
  encoding: "utf8",
});
const hasFrames =
  execFileSync(NODE, ["-p", 'process.allowedNodeEnvironmentFlags.has("--async-context-frame")'], {
    encoding: "utf8",
  }).trim() === "true";
const restrictsNet = asked.trim() === "true";
const permission = ["--permission", "--allow-fs-read=*", "--allow-fs-write=*"];

test.each([
  ["--throw-deprecation", "--pending-deprecation"],
  restrictsNet ? [...permission, "--allow-net"] : permission,
])("the package works with %s %s", { timeout: 60_000 }, async (...flags) => {
  const { stdout, stderr } = await promisify(execFile)(
    NODE,
    [...flags, ...NODE_SOURCES, "conformance/node/program.ts"],
    {
      cwd: ROOT,
    },
  );
  expect([JSON.parse(stdout), stderr]).toEqual([["pong", "pong", "pong"], ""]);
});

test.skipIf(!restrictsNet)(
  "without --allow-net, start() and connect() reject with a code, and say what is missing",
  async () => {
    const program = [...permission, ...NODE_SOURCES, "conformance/node/forbidden-net.ts"];
    const { stdout } = await promisify(execFile)(NODE, program, { cwd: ROOT });
    const codes = JSON.parse(stdout) as string[];
    expect(codes).toHaveLength(4);
    for (const code of codes) expect(code).toMatch(/^INVALID_CONFIG: .*--allow-net/);
  },
);

test("handlers start without the store of others, also where AsyncLocalStorage has no frames, as up to Node.js 23", async () => {
  const flags = hasFrames ? ["--no-async-context-frame"] : [];
  const program = [...flags, ...NODE_SOURCES, "conformance/node/entered-stores.ts"];
  const { stdout } = await promisify(execFile)(NODE, program, { cwd: ROOT });
  expect(JSON.parse(stdout)).toEqual(["none", "none", "none"]);
});
