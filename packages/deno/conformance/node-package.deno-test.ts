/** `@netconduit/node` on Deno, whose `node:net` is its own. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { expect, test } from "vitest";

test("the package for Node.js serves and calls on Deno, and reports no error", async () => {
  const program = fileURLToPath(new URL("node-package-program.ts", import.meta.url));
  const { stdout, stderr } = await promisify(execFile)(Deno.execPath(), ["run", "-A", "--no-check", program]);
  expect([stdout, stderr]).toEqual(["pong\n", ""]);
});
