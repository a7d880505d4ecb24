/** Servers and clients on a fake runtime, with options for tests. */

import { expect, onTestFinished } from "vitest";
import { Client, type ClientInit } from "../client/client.ts";
import type { ErrorContext } from "../endpoint/endpoint-core.ts";
import { ConduitError } from "../errors.ts";
import { ClientPool, type PoolInit } from "../pool/client-pool.ts";
import { Server, type ServerInit } from "../server/server.ts";
import { type FakeRuntime, fakeRuntime } from "./fake-runtime.ts";
import { leftovers, watchFromNow } from "./leftovers.ts";
import { type MemoryPeer, PASSWORD, type RawAnswer, RawServer, rawClient } from "./raw-memory.ts";

/** The minimum number of PBKDF2 rounds, because tests log in often. */
export const FEW_ITERATIONS = 4096;

/** An error passed to an `onError` hook. */
export interface SeenError {
  readonly code: number;
  readonly message: string;
  readonly stage: ErrorContext<unknown>["stage"];
  readonly name: string | undefined;
}

export interface TestServer {
  readonly server: Server;
  readonly port: number;
  /** Errors passed to `onError`. */
  readonly errors: SeenError[];
}

/** Starts a server on this runtime. */
export async function testServer(
  runtime: FakeRuntime,
  options: Partial<ServerInit> = {},
  prepare?: (server: Server) => void,
): Promise<TestServer> {
  const all = { password: PASSWORD, host: "test", port: 8080, scramIterations: FEW_ITERATIONS, ...options };
  const server = new Server(all, runtime);
  endWithTest(runtime, () => server.stop({ drainMs: 0 }));
  const errors: SeenError[] = [];
  server.onError((error, context) => errors.push(seen(error, context)));
  prepare?.(server);
  await server.start();
  return { server, port: server.address.port, errors };
}

/** Starts a server, and logs in `count` raw clients. */
export async function withClients(
  count: number,
  options: Partial<ServerInit> = {},
): Promise<TestServer & { readonly runtime: FakeRuntime; readonly peers: MemoryPeer[] }> {
  const runtime = fakeRuntime();
  const bench = await testServer(runtime, options);
  const peers: MemoryPeer[] = [];
  for (let index = 0; index < count; index += 1) peers.push(await rawClient(runtime, bench.port));
  return { runtime, peers, ...bench };
}

export interface TestClient {
  readonly client: Client;
  readonly errors: SeenError[];
}

/** Creates a client of the server at port 8080, without connecting it. */
export function testClient(runtime: FakeRuntime, options: Partial<ClientInit> = {}): TestClient {
  const client = new Client({ host: "test", port: 8080, password: PASSWORD, ...options }, runtime);
  endWithTest(runtime, () => client.close());
  const errors: SeenError[] = [];
  client.onError((error, context) => errors.push(seen(error, context)));
  return { client, errors };
}

/** Logs a client in at a raw server, which answers with `login`. */
export async function clientAtRawServer(
  login: RawAnswer = {},
  options: Partial<ClientInit> = {},
): Promise<TestClient & { readonly runtime: FakeRuntime; readonly raw: RawServer; readonly peer: MemoryPeer }> {
  const runtime = fakeRuntime();
  const raw = await RawServer.start(runtime);
  const made = testClient(runtime, options);
  const connecting = made.client.connect();
  const peer = await raw.admit(login);
  await connecting;
  return { runtime, raw, peer, ...made };
}

export interface TestPool {
  readonly pool: ClientPool;
  readonly errors: SeenError[];
}

/** Creates a pool for the servers at these ports, without connecting it. It tries again after 100 ms. */
export function testPool(runtime: FakeRuntime, ports: readonly number[], options: Partial<PoolInit> = {}): TestPool {
  const servers = ports.map((port) => ({ host: "127.0.0.1", port }));
  const reconnect = { delayMs: 100, maxDelayMs: 100, jitter: false };
  const pool = new ClientPool({ servers, password: PASSWORD, reconnect, ...options }, runtime);
  endWithTest(runtime, () => pool.close());
  const errors: SeenError[] = [];
  pool.onError((error, context) => errors.push(seen(error, context)));
  return { pool, errors };
}

/** Maximum time for a test's servers and clients to close. */
const MAX_END_MS = 120_000;

/** Functions that close each runtime's servers and clients after the test. Nothing may be left behind. */
const ends = new WeakMap<FakeRuntime, (() => Promise<void>)[]>();

function endWithTest(runtime: FakeRuntime, end: () => Promise<void>): void {
  const known = ends.get(runtime);
  if (known !== undefined) {
    known.push(end);
    return;
  }
  const all = [end];
  ends.set(runtime, all);
  watchFromNow();
  onTestFinished(async () => {
    let isOver = false;
    // Clients first, so that they don't dial again.
    const ending = Promise.all(all.reverse().map((endOne) => endOne())).finally(() => {
      isOver = true;
    });
    for (let passedMs = 0; !isOver && passedMs < MAX_END_MS; passedMs += 100) await runtime.advance(100);
    await ending;
    await runtime.settle();
    expect(leftovers()).toEqual([]);
  });
}

function seen(error: Error, context: ErrorContext<unknown>): SeenError {
  const code = error instanceof ConduitError ? error.code : 0;
  return { code, message: error.message, stage: context.stage, name: context.name };
}

/** A promise's current state. */
export interface Outcome<T> {
  state: "pending" | "resolved" | "rejected";
  value?: T;
  error?: ConduitError;
  /** Number of times that it settled; more than once is a bug. */
  settled: number;
}

/** Observes a promise. */
export function outcome<T>(promise: Promise<T>): Outcome<T> {
  const result: Outcome<T> = { state: "pending", settled: 0 };
  promise.then(
    (value) => {
      result.state = "resolved";
      result.value = value;
      result.settled += 1;
    },
    (error: ConduitError) => {
      result.state = "rejected";
      result.error = error;
      result.settled += 1;
    },
  );
  return result;
}
