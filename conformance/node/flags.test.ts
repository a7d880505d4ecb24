/** Node.js started with flags that forbid what only the inside of Node.js may do. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import process from "node:process";
import { promisify } from "node:util";
import { expect, test } from "vitest";

const ROOT = join(import.meta.dirname, "../..");

test.each([
  ["--throw-deprecation", "--pending-deprecation"],
  ["--permission", "--allow-fs-read=*", "--allow-fs-write=*"],
])("the package works with %s %s", { timeout: 60_000 }, async (...flags) => {
  const sources = ["--disable-warning=ExperimentalWarning", "--import", "./docs-tests/lib/sources-hook.ts"];
  const { stdout, stderr } = await promisify(execFile)(
    process.execPath,
    [...flags, ...sources, "conformance/node/program.ts"],
    { cwd: ROOT },
  );
  expect([JSON.parse(stdout), stderr]).toEqual([["pong", "pong", "pong"], ""]);
});
