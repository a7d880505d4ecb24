/**
 * Transfers during which the server, the client or both are killed, and large transfers. `LARGE_FILE_MIB=8192 npx
 * pnpm@12 test:unit conformance/processes/files` uploads a sparse file of 8 GiB, which needs as much disk space.
 */

import { createHash } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { Client } from "@netconduit/core";
import { nodeRuntime } from "@netconduit/node";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { RUNTIMES } from "../../docs-tests/lib/runtimes.ts";
import { turn } from "../support/turns.ts";
import { type WatchedFiles, watchedFiles } from "../support/watched-files.ts";
import { RunningProgram } from "./run-program.ts";

const MIB = 1024 * 1024;
const PAUSE_AT = 13 * MIB;
const LARGE_MIB = Number(process.env["LARGE_FILE_MIB"] ?? 64);
/** Far above a runtime's own memory usage and far below the size of a large file. */
const MAX_RSS = 400 * MIB;
const content = new Uint8Array(24 * MIB).map((_, i) => (i * 7) >> 8);
const sha256 = createHash("sha256").update(content).digest("hex");

let folder = "";
let source = "";
const programs: RunningProgram[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "nc-killed-"));
  source = join(await mkdtemp(join(tmpdir(), "nc-source-")), "big.bin");
  await writeFile(source, content);
});

afterEach(async () => {
  for (const program of programs.splice(0)) program.kill();
  for (const path of [folder, join(source, "..")]) await rm(path, { recursive: true, force: true });
});

function start(...args: ConstructorParameters<typeof RunningProgram>): RunningProgram {
  const program = new RunningProgram(...args);
  programs.push(program);
  return program;
}

async function killed(program: RunningProgram): Promise<void> {
  program.kill();
  await program.output.catch(() => undefined);
}

/** Number of verified bytes according to the state file in the folder. */
async function verified(): Promise<number> {
  const partials = join(folder, ".netconduit");
  const names = await readdir(partials).catch(() => []);
  const state = names.find((name) => name.endsWith(".json"));
  if (state === undefined) return 0;
  // The file is replaced by renaming and may be missing for a moment.
  const text = await readFile(join(partials, state), "utf8").catch(() => "{}");
  return (JSON.parse(text) as { verified?: number }).verified ?? 0;
}

/** Resolves when any bytes are verified. The number depends on the speed of the transfer. */
async function untilSomeVerified(): Promise<void> {
  while ((await verified()) === 0) await turn();
}

async function connected(port: unknown, files: WatchedFiles): Promise<Client> {
  const options = { host: "127.0.0.1", port: port as number, password: "secret123", reconnect: { enabled: false } };
  const client = new Client(options, files.runtime);
  await client.connect();
  return client;
}

async function expectComplete(): Promise<void> {
  expect(await readdir(folder)).toEqual(["big.bin"]);
  const received = await readFile(join(folder, "big.bin"));
  expect(createHash("sha256").update(received).digest("hex")).toBe(sha256);
}

describe.each(RUNTIMES)("on %s", (runtime) => {
  const patient = { timeout: 60_000 };

  test("an upload to a server that was killed continues, and nobody reads what was verified", patient, async () => {
    let isPaused = true;
    let pausedAtLast: () => void;
    const paused = new Promise<void>((resolve) => {
      pausedAtLast = resolve;
    });
    const files = watchedFiles(nodeRuntime, (at) => {
      if (!isPaused || at < PAUSE_AT) return null;
      pausedAtLast();
      return new Promise(() => {});
    });
    const first = start(runtime, ["serveFiles", folder]);
    const client = await connected(await first.next(), files);
    const upload = client.files("box").upload(source, { resume: true });
    upload.catch(() => undefined);
    // Then no read is in progress that would be counted later.
    await paused;
    await untilSomeVerified();
    await killed(first);
    const resumedFrom = await verified();
    isPaused = false;
    const second = start(runtime, ["serveFiles", folder]);
    const again = await connected(await second.next(), files);
    files.bytesRead = 0;
    const sent = await again.files("box").upload(source, { resume: true });
    expect(sent).toEqual({ name: "big.bin", bytes: content.length, sha256, resumedFrom });
    expect(files.bytesRead).toBe(content.length - resumedFrom);
    await again.disconnect();
    second.child.stdin?.end();
    expect((await second.output)[0]).toBe(0);
    await expectComplete();
  });

  test("an upload of a client that was killed continues, and nobody reads what was verified", patient, async () => {
    const server = start(runtime, ["serveFiles", folder]);
    const port = String(await server.next());
    const first = start(runtime, ["uploadFile", port, source, String(PAUSE_AT)]);
    await untilSomeVerified();
    await killed(first);
    const second = start(runtime, ["uploadFile", port, source]);
    const sent = (await second.next()) as { resumedFrom: number };
    const { resumedFrom } = sent;
    expect(resumedFrom).toBeGreaterThan(0);
    const read = content.length - resumedFrom;
    expect(sent).toMatchObject({ name: "big.bin", bytes: content.length, sha256, resumedFrom, read });
    server.child.stdin?.end();
    expect((await server.output)[0]).toBe(0);
    await expectComplete();
  });

  test("if both were killed, only the server reads the file once, to know the hash of all of it", patient, async () => {
    const first = start(runtime, ["serveFiles", folder]);
    const client = start(runtime, ["uploadFile", String(await first.next()), source, String(PAUSE_AT)]);
    await untilSomeVerified();
    await killed(first);
    await killed(client);
    const resumedFrom = await verified();
    const server = start(runtime, ["serveFiles", folder]);
    const again = start(runtime, ["uploadFile", String(await server.next()), source]);
    expect(await again.next()).toMatchObject({ sha256, resumedFrom, read: content.length - resumedFrom });
    server.child.stdin?.end();
    expect((await server.output)[0]).toBe(content.length);
    await expectComplete();
  });

  test("a large file is moved in constant memory", { timeout: 60_000 + 200 * LARGE_MIB }, async () => {
    await truncate(source, LARGE_MIB * MIB);
    const server = start(runtime, ["serveFiles", folder]);
    const client = start(runtime, ["uploadFile", String(await server.next()), source]);
    const { bytes, rss } = (await client.next()) as { bytes: number; rss: number };
    expect(bytes).toBe(LARGE_MIB * MIB);
    expect((await stat(join(folder, "big.bin"))).size).toBe(bytes);
    server.child.stdin?.end();
    const [, serverRss] = (await server.output) as number[];
    expect(rss).toBeLessThan(MAX_RSS);
    expect(serverRss).toBeLessThan(MAX_RSS);
  });
});
