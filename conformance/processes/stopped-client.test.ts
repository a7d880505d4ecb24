/** A client whose process is stopped (SIGSTOP) until its server has dropped it, and then goes on (SIGCONT). */

import process from "node:process";
import { afterEach, describe, expect, test } from "vitest";
import { RUNTIMES, type RuntimeName } from "../../docs-tests/lib/runtimes.ts";
import { RunningProgram } from "./run-program.ts";

const LIMIT = { timeout: 60_000, skip: process.platform === "win32" };
/** The client's reason, on the runtimes whose aborts reach it as a reset. Elsewhere it may see a plain end. */
const RESETS: Readonly<Record<RuntimeName, readonly string[]>> = { node: ["tcp"], bun: ["tcp", "tls"], deno: [] };

const programs: RunningProgram[] = [];

afterEach(() => {
  for (const program of programs.splice(0)) {
    program.child.kill("SIGCONT");
    program.kill();
  }
});

function run(runtime: RuntimeName, ...args: string[]): RunningProgram {
  const program = new RunningProgram(runtime, args);
  programs.push(program);
  return program;
}

describe.each(RUNTIMES)("on %s", (runtime) => {
  test.each(["tcp", "tls"] as const)("learns over %s that its connection has ended", LIMIT, async (transport) => {
    const server = run(runtime, "dropSilent", transport);
    const port = await server.next();
    const client = run(runtime, "beDropped", transport, `${port}`);
    expect(await client.next()).toBe("connected");
    client.child.kill("SIGSTOP");
    expect(await server.next()).toBe("HEARTBEAT_TIMEOUT");
    client.child.kill("SIGCONT");
    const codes = RESETS[runtime].includes(transport) ? [] : ["CONNECTION_CLOSED"];
    expect(["CONNECTION_RESET", ...codes]).toContain(await client.next());
  });
});
