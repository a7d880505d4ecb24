/** A client whose process is stopped (SIGSTOP) until the server has disconnected it, then continued (SIGCONT). */

import process from "node:process";
import { afterEach, describe, expect, test } from "vitest";
import { RUNTIMES, type RuntimeName } from "../../docs-tests/lib/runtimes.ts";
import { RunningProgram } from "./run-program.ts";

const LIMIT = { timeout: 60_000, skip: process.platform === "win32" };
/** Transports on which the server's abort reaches the client as a reset. On the others it may see a normal end. */
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
