/** Unix sockets that several processes or users try to listen on. */
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

/** Creates a socket file without a listening process. */
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

/** Starts a process that listens at the paths in its input, optionally wrapped by another command. */
async function claimant(runtime: RuntimeName, before: readonly string[] = []): Promise<RunningProgram> {
  const program = new RunningProgram(runtime, ["claim"], before);
  programs.push(program);
  expect(await program.next()).toBe("ready");
  return program;
}

describe.each(RUNTIMES)("on %s", (runtime) => {
  test("of several processes that find a stale socket and start together, one listens", LIMIT, async () => {
    const racers = await Promise.all(Array.from({ length: PROCESSES }, () => claimant(runtime)));
    const tell = (line: string): unknown[] => racers.map((racer) => racer.child.stdin?.write(`${line}\n`));
    for (let round = 0; round < ROUNDS; round++) {
      const path = await staleSocket();
      tell(path);
      const outcomes = await Promise.all(racers.map(async (racer) => ((await racer.next()) as { code: string }).code));
      const winner = racers[outcomes.indexOf("started")]?.child.pid;
      expect(outcomes.sort()).toEqual([...new Array(PROCESSES - 1).fill("ADDRESS_IN_USE"), "started"]);
      const client = new Client({ path, password: "secret123", reconnect: { enabled: false } });
      await client.connect();
      expect(await client.call<number>("ping")).toBe(winner);
      await client.disconnect();
      tell("stop");
      for (const racer of racers) expect(await racer.next()).toBe("stopped");
      expect(readdirSync(join(path, ".."))).toEqual([]);
    }
    for (const racer of racers) racer.child.stdin?.end();
    await Promise.all(racers.map((racer) => racer.output));
  });

  // Only root can switch to another user.
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
      const program = await claimant(runtime, asNobody);
      program.child.stdin?.write(`${path}\n`);
      expect(await program.next()).toEqual({ code: "ADDRESS_IN_USE", message: expect.stringContaining(message) });
    });
  }
});
