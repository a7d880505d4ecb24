/** Unix sockets that several processes, or several users, want. */
import { chmodSync, linkSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Client } from "@netconduit/node";
import { afterEach, describe, expect, test } from "vitest";
import { RUNTIMES, type RuntimeName } from "../../docs-tests/lib/runtimes.ts";
import { RunningProgram } from "./run-program.ts";

const PROCESSES = 4;
const ROUNDS = 3;
const NOBODY = 65_534;
const LIMIT = { timeout: 120_000, skip: process.platform === "win32" };

const programs: RunningProgram[] = [];
const folders: string[] = [];

afterEach(() => {
  for (const program of programs.splice(0)) program.kill();
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
});

function folder(): string {
  const made = mkdtempSync(join(tmpdir(), "netconduit-"));
  folders.push(made);
  return made;
}

/** The file of a socket that no process listens at any more. */
async function staleSocket(): Promise<string> {
  const directory = folder();
  const first = join(directory, "first.sock");
  const path = join(directory, "server.sock");
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(first, resolve));
  linkSync(first, path);
  await new Promise((resolve) => server.close(resolve));
  return path;
}

/** Starts servers for one path in as many processes, at the same moment. Returns their outcomes. */
async function race(runtime: RuntimeName, path: string): Promise<{ winner: number | undefined; outcomes: unknown[] }> {
  const racers = Array.from({ length: PROCESSES }, () => new RunningProgram(runtime, ["claim", path]));
  programs.push(...racers);
  await Promise.all(racers.map((racer) => racer.next()));
  for (const racer of racers) racer.child.stdin?.write("go\n");
  const outcomes = await Promise.all(racers.map(async (racer) => ((await racer.next()) as { code: string }).code));
  return { winner: racers[outcomes.indexOf("started")]?.child.pid, outcomes: outcomes.sort() };
}

describe.each(RUNTIMES)("on %s", (runtime) => {
  test("of several processes that find a stale socket and start together, one listens", LIMIT, async () => {
    for (let round = 0; round < ROUNDS; round++) {
      const path = await staleSocket();
      const { winner, outcomes } = await race(runtime, path);
      expect(outcomes).toEqual([...new Array(PROCESSES - 1).fill("ADDRESS_IN_USE"), "started"]);
      const client = new Client({ path, password: "secret123", reconnect: { enabled: false } });
      await client.connect();
      expect(await client.call<number>("ping")).toBe(winner);
      await client.disconnect();
      for (const program of programs) program.child.stdin?.end();
      await Promise.all(programs.splice(0).map((program) => program.output));
      expect(readdirSync(join(path, ".."))).toEqual([]);
    }
  });

  // Only root can be two users.
  const asNobody = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
  const stale = [
    ["that this one may not connect to", 0o755, 0o755, "a socket of another user"],
    ["that this one may connect to and not remove", 0o777, 0o1777, "may not remove it"],
  ] as const;
  for (const [what, socketMode, folderMode, message] of stale) {
    test.skipIf(process.getuid?.() !== 0)(`another user's stale socket ${what} is ADDRESS_IN_USE`, LIMIT, async () => {
      const path = await staleSocket();
      chmodSync(path, socketMode);
      chmodSync(join(path, ".."), folderMode);
      const program = new RunningProgram(runtime, ["claim", path], asNobody);
      programs.push(program);
      expect(await program.next()).toBe("ready");
      program.child.stdin?.write("go\n");
      expect(await program.next()).toEqual({ code: "ADDRESS_IN_USE", message: expect.stringContaining(message) });
    });
  }
});
