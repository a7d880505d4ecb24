/**
 * `pnpm soak` (`--help` lists its options): a server and its clients in one process, with all features enabled, whose
 * connections are cut repeatedly. The exit code is 1 if an operation fails, or if the heap, the descriptors or the
 * timers have grown between the first and the last third of the run. It is idle most of the time, so that it can run
 * in parallel to other suites.
 *
 * With Bun: `bun --tsconfig-override=conformance/matrix/bun.tsconfig.json conformance/soak/soak.ts`, with Deno: `deno run -A
 * --no-check --v8-flags=--expose-gc conformance/soak/soak.ts`.
 */
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setImmediate, setTimeout as sleep } from "node:timers/promises";
import { Client, Server } from "@netconduit/core";
import { amount, commandLine, text } from "../../scripts/lib/command-line.ts";
import { subjectOf } from "../matrix/subject-of.ts";
import { Relay } from "../support/relay.ts";
import type { OpenClient, OpenServer } from "../support/subject.ts";
import { countedTimers } from "./counted-timers.ts";
import { growthOf } from "./flatness.ts";

const ROUND_MS = 800;
const SAMPLES = 60;
const CLIENTS = 4;
/** Number of operations per round with each client. */
const CALLS = 50;
const MESSAGES = 30;
const ITEMS = 100;
const PUBLISHED = 5;
const TEXT = "everything is on, and nothing may grow; ".repeat(5000);
const FILE_BYTES = 20_000;
/** Intervals in rounds. */
const EVERY = { cut: 7, visit: 5, expiry: 11, file: 5, acknowledged: 5 };
/** Name of clients that disappear without closing their connection. */
const LOST = "lost";
/** Short, so that sessions expire during a run. */
const WINDOW_MS = 1500;
/** Tolerated growth. A leak of 7 KiB per round exceeds it within three minutes. */
const SLACK = { heap: 2 * 1024 * 1024, descriptors: 3, timers: 3 };

const { values } = commandLine({
  name: "pnpm soak",
  about: "A server and its clients, with everything on, whose connections are cut again and again.",
  options: {
    minutes: amount("how long it runs", 60),
    report: text("writes the result as JSON, like a test runner", "FILE"),
  },
});
const runtime = "Bun" in globalThis ? "bun" : "Deno" in globalThis ? "deno" : "node";
const subject = await subjectOf(runtime);
const timers = countedTimers(subject.runtime);

function collectGarbage(): void {
  const { gc, Bun } = globalThis as { gc?: () => void; Bun?: { gc(isSync: boolean): void } };
  if (Bun !== undefined) Bun.gc(true);
  else if (gc !== undefined) gc();
  else throw new Error("The garbage collector can't be called: start it with --expose-gc");
}

const folder = mkdtempSync(join(tmpdir(), "netconduit-soak-"));
const common = {
  password: "soaked well",
  enableCompression: true,
  heartbeatIntervalMs: 1000,
  heartbeatTimeoutMs: 30_000,
};

function makeServer(): OpenServer {
  const settings = {
    ...common,
    host: "127.0.0.1",
    port: 0,
    handleSignals: false,
    resume: { windowMs: WINDOW_MS },
  };
  const server: OpenServer = new Server(settings, timers.runtime);
  server.use(async (_context, next) => await next());
  server.rpc("double", async ({ n }, context) => {
    context.progress(n);
    return 2 * (n as number);
  });
  server.rpc("fail", () => {
    throw new TypeError("on purpose");
  });
  server.rpc("wait", (_params, { signal }) => new Promise((resolve) => signal.addEventListener("abort", resolve)));
  server.rpc({ name: "sum", input: true }, async (_params, { input }) => {
    let sum = 0;
    for await (const n of input) sum += n as number;
    return sum;
  });
  server.stream("count", function* ({ to }) {
    for (let n = 1; n <= (to as number); n += 1) yield n;
  });
  server.on("note", () => undefined);
  server.on("text", (_connection, text) => (text as string).length);
  server.topic("all", { publish: true, presence: true, history: { messages: 100, ageMs: 60_000 } });
  server.topics("room:*", { publish: true, presence: true, authorize: () => true });
  server.files("box", { dir: folder, upload: true, download: true, remove: true, overwrite: "replace" });
  // A handler's deliberate failure is reported.
  server.onError(() => undefined);
  return server;
}

const server = makeServer();
await server.start();
const relay = new Relay(server.address.port);
await relay.start();

function makeClient(name: string, resume: boolean): OpenClient {
  const settings = {
    ...common,
    host: "127.0.0.1",
    port: relay.address.port,
    name,
    resume,
    reconnect: { delayMs: 5, maxDelayMs: 20 },
  };
  const client: OpenClient = new Client(settings, timers.runtime);
  client.use(async (_context, next) => await next());
  client.rpc("double", ({ n }) => 2 * (n as number));
  client.on("note", () => undefined);
  // Attempts to reconnect fail while the relay is down.
  client.onError(() => undefined);
  return client;
}

function expectEqual(actual: unknown, expected: unknown, what: string): void {
  if (actual !== expected) throw new Error(`${what}: expected ${expected}, got ${actual}`);
}

async function codeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return "none";
  } catch (error) {
    return (error as { codeName?: string }).codeName ?? String(error);
  }
}

async function calls(client: OpenClient): Promise<void> {
  const asked = Array.from({ length: CALLS }, (_, n) =>
    client.call<number>("double", { n }, { onProgress: () => undefined }),
  );
  for (const [n, result] of (await Promise.all(asked)).entries()) expectEqual(result, 2 * n, "double");
  expectEqual(await codeOf(client.call("fail")), "INTERNAL", "fail");
  const abort = new AbortController();
  const cancelled = codeOf(client.call("wait", {}, { signal: abort.signal }));
  await setImmediate();
  abort.abort();
  expectEqual(await cancelled, "CANCELLED", "wait");
  expectEqual(await client.request("text", TEXT), TEXT.length, "text");
}

async function streams(client: OpenClient): Promise<void> {
  let count = 0;
  for await (const _item of client.stream("count", { to: ITEMS })) count += 1;
  expectEqual(count, ITEMS, "items of count");
  for await (const item of client.stream("count", { to: 1_000_000 })) if (item === 10) break;
  const input = Array.from({ length: ITEMS }, (_, n) => n);
  expectEqual(await client.call<number>("sum", {}, { input }), (ITEMS * (ITEMS - 1)) / 2, "sum");
}

async function topics(client: OpenClient, room: string): Promise<void> {
  const subscription = client.subscribe(room);
  await subscription.ready;
  for (let n = 0; n < PUBLISHED; n += 1) await client.publish(room, { n });
  for (let n = 0; n < PUBLISHED; n += 1) expectEqual(((await subscription.next()).value as { n: number }).n, n, room);
  subscription.close();
}

async function files(client: OpenClient, name: string): Promise<void> {
  const box = client.files("box");
  const content = new Uint8Array(FILE_BYTES).fill(7);
  await box.upload(content, { name });
  expectEqual((await box.bytes(name)).length, FILE_BYTES, "bytes of a file");
  await box.remove(name);
}

async function messages(client: OpenClient): Promise<void> {
  for (let n = 0; n < MESSAGES; n += 1) client.send("note", { n });
  await client.publish("all", { at: "everyone" });
}

async function acknowledged(client: OpenClient, key: string): Promise<void> {
  await client.send("note", {}, { ack: true });
  expectEqual(await client.call<number>("double", { n: 3 }, { once: key }), 6, "once");
}

/** Connects and disconnects a client. */
async function visit(): Promise<void> {
  const visitor = makeClient("visitor", false);
  await visitor.connect();
  expectEqual(await visitor.call<number>("double", { n: 1 }), 2, "a visitor's call");
  await visitor.disconnect();
}

/** Drops a client whose session the server keeps until it expires. */
async function leaveWithoutAWord(): Promise<void> {
  const client = makeClient(LOST, true);
  await client.connect();
  await relay.kill();
  await client.disconnect();
  await relay.start();
}

async function serverCalls(round: number): Promise<void> {
  for (const connection of server.connections) {
    // The session of a client that has disappeared may expire at any time.
    if (connection.info.name === LOST) continue;
    connection.send("note", { round });
    expectEqual(await connection.call<number>("double", { n: round }), 2 * round, "the server's call");
  }
  server.broadcast("note", { round });
}

const clients: OpenClient[] = [];

async function playRound(round: number): Promise<void> {
  const isDue = (every: number): boolean => round % every === every - 1;
  const work = clients.flatMap((client, n) => [
    calls(client),
    streams(client),
    messages(client),
    topics(client, `room:${n}-${round % 20}`),
    ...(isDue(EVERY.file) ? [files(client, `file-${n}`)] : []),
    ...(isDue(EVERY.acknowledged) ? [acknowledged(client, `${n}-${round}`)] : []),
  ]);
  if (isDue(EVERY.cut)) {
    await setImmediate();
    await relay.kill();
    await relay.start();
  }
  await Promise.all(work);
  if (isDue(EVERY.visit)) await visit();
  if (isDue(EVERY.expiry)) await leaveWithoutAWord();
  await serverCalls(round);
}

interface Sample {
  readonly heap: number;
  readonly descriptors: number;
  readonly timers: number;
}

async function sample(): Promise<Sample> {
  for (let n = 0; n < 2; n += 1) {
    await setImmediate();
    collectGarbage();
  }
  const descriptors = process.platform === "linux" ? readdirSync("/proc/self/fd").length : 0;
  return { heap: process.memoryUsage().heapUsed, descriptors, timers: timers.pending.size };
}

async function soak(minutes: number): Promise<string[]> {
  for (let n = 0; n < CLIENTS; n += 1) {
    const client = makeClient(`client ${n}`, true);
    await client.connect();
    clients.push(client);
    void (async () => {
      for await (const _message of client.subscribe("all"));
    })();
  }
  const samples: Sample[] = [];
  const startedAt = performance.now();
  const endsAt = startedAt + minutes * 60_000;
  for (let round = 0; performance.now() < endsAt || samples.length < SAMPLES; round += 1) {
    const roundAt = performance.now();
    await playRound(round);
    // Paced by time, or by rounds if the machine is too busy.
    if (performance.now() >= startedAt + (samples.length * minutes * 60_000) / SAMPLES) samples.push(await sample());
    await sleep(Math.max(0, roundAt + ROUND_MS - performance.now()));
  }
  for (const client of clients) await client.disconnect();
  return (["heap", "descriptors", "timers"] as const).flatMap((what) => {
    const { first, last, isFlat } = growthOf(
      samples.map((one) => one[what]),
      SLACK[what],
    );
    const line = `${what}: ${first} in the first third, ${last} in the last`;
    console.log(`${line}, ${samples.length} samples`);
    return isFlat ? [] : [line];
  });
}

const faults: string[] = [];
try {
  faults.push(...(await soak(values.minutes)));
} catch (error) {
  faults.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
}
await server.stop({ drainMs: 0 });
await relay.kill();
rmSync(folder, { recursive: true, force: true });
for (const fault of faults) console.error(`Grown, or failed: ${fault}`);
if (values.report !== null) {
  const status = faults.length === 0 ? "passed" : "failed";
  const file = { name: "conformance/soak/soak.ts", status, assertionResults: [{ status }] };
  writeFileSync(values.report, JSON.stringify({ testResults: [file] }));
}
process.exit(faults.length === 0 ? 0 : 1);
