import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, ErrorCode } from "@netconduit/core";
import { Client as NodeClient } from "@netconduit/node";
import { afterEach, describe, expect, test } from "vitest";
import { RUNTIMES } from "../../docs-tests/lib/runtimes.ts";
import { RunningProgram } from "./run-program.ts";

/** The third interruption turns a message into a dead letter. */
const KILLS = 2;
const PER_ROUND = 40;

let folder = "";
let program: RunningProgram | null = null;
let other: RunningProgram | null = null;
let client: Client | null = null;

afterEach(async () => {
  await client?.disconnect();
  program?.kill();
  other?.kill();
  await rm(folder, { recursive: true, force: true });
});

type Line = readonly [kind: string, n: number, count?: number];

async function logged(kind: string): Promise<readonly Line[]> {
  const text = await readFile(join(folder, "log"), "utf8");
  const lines = text.split("\n").filter((line) => line !== "");
  return lines.map((line) => JSON.parse(line) as Line).filter(([of]) => of === kind);
}

const numbers = (lines: readonly Line[]): number[] => lines.map(([, n]) => n);

/** Removes all but the first occurrence of each number. */
const first = (all: readonly number[]): number[] => [...new Set(all)];

describe.each(RUNTIMES)("a server on %s with a store, killed by kill -9 and started again", (runtime) => {
  test("handles every message at least once and in order, acknowledged ones with a count, and once-calls at most once", async () => {
    folder = await mkdtemp(join(tmpdir(), "netconduit-kill-"));
    program = new RunningProgram(runtime, ["keep", folder]);
    const port = (await program.next()) as number;
    client = new NodeClient({
      host: "127.0.0.1",
      port,
      password: "secret123",
      resume: true,
      queueWhileDisconnected: "send",
      reconnect: { delayMs: 20, maxDelayMs: 100 },
    });
    client.onError(() => undefined);
    const sessions: unknown[] = [];
    client.onResume((session) => void sessions.push(session));
    await client.connect();
    const acknowledged: Promise<void>[] = [];
    const calls: Promise<unknown>[] = [];
    let sent = 0;
    const send = (to: Client): void => {
      const n = sent;
      sent += 1;
      to.send("plain", n);
      acknowledged.push(to.send("acknowledged", n, { ack: { attempts: 100, delayMs: 50 } }));
      const call = to.call("once", { n }, { once: `once ${n}`, timeoutMs: 50_000 });
      calls.push(call.catch((error: { code: number }) => error.code));
    };
    for (let round = 0; round <= KILLS; round += 1) {
      for (let i = 0; i < PER_ROUND; i += 1) {
        send(client);
        if (i % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      if (round === KILLS) break;
      // Some messages have been handled, and others are in flight.
      await acknowledged[sent - PER_ROUND];
      program.kill();
      await program.output.catch(() => undefined);
      program = new RunningProgram(runtime, ["keep", folder, String(port)]);
      expect(await program.next()).toBe(port);
    }
    await Promise.all(acknowledged);
    const results = await Promise.all(calls);
    await client.request("acknowledged", -1);
    const all = Array.from({ length: sent }, (_, n) => n);
    expect(first(numbers(await logged("plain")))).toEqual(all);
    const handled = (await logged("acknowledged")).filter(([, n]) => n >= 0);
    expect(first(numbers(handled)).sort((a, b) => a - b)).toEqual(all);
    // A repetition is counted. A count is skipped if the process was killed between the store and the handler.
    for (const n of all) {
      const counts = handled.filter(([, of]) => of === n).map(([, , count]) => count);
      expect(counts).toEqual([...new Set(counts)].sort((a, b) => (a ?? 0) - (b ?? 0)));
    }
    const carriedOut = numbers(await logged("once"));
    expect(carriedOut).toEqual(first(carriedOut));
    for (const [n, result] of results.entries()) {
      if (result === n) expect(carriedOut).toContain(n);
      else expect(result).toBe(ErrorCode.OUTCOME_UNKNOWN);
    }
    expect(sessions).toHaveLength(KILLS);
    expect(sessions).toEqual(sessions.map(() => expect.objectContaining({ lost: 0, restarted: true })));
    program.child.stdin?.end();
    await program.output;
  });
});

describe.each(RUNTIMES)("a store in a file on %s", (runtime) => {
  test("belongs to one process until it ends, also by kill -9, and also if that process opens it twice", async () => {
    folder = await mkdtemp(join(tmpdir(), "netconduit-kill-"));
    program = new RunningProgram(runtime, ["openTwice", folder]);
    expect([await program.next(), await program.next()]).toEqual(["open", "STORE_IN_USE"]);
    other = new RunningProgram(runtime, ["openTwice", folder]);
    expect([await other.next(), await other.next()]).toEqual(["STORE_IN_USE", "STORE_IN_USE"]);
    program.kill();
    await program.output.catch(() => undefined);
    program = new RunningProgram(runtime, ["openTwice", folder]);
    expect(await program.next()).toBe("open");
  });
});
