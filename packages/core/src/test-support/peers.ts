/** A server and clients on one fake runtime, with options that suit tests. */

import { Client, type ClientInit } from "../client/client.ts";
import type { ErrorContext } from "../endpoint/endpoint-core.ts";
import { ConduitError } from "../errors.ts";
import { Server, type ServerInit } from "../server/server.ts";
import { type FakeRuntime, fakeRuntime } from "./fake-runtime.ts";
import { type MemoryPeer, PASSWORD, rawClient } from "./raw-memory.ts";

/** The fewest PBKDF2 rounds allowed: logins in tests are many. */
export const FEW_ITERATIONS = 4096;

/** An error as an `onError` hook saw it. */
export interface SeenError {
  readonly code: number;
  readonly message: string;
  readonly stage: ErrorContext<unknown>["stage"];
  readonly name: string | undefined;
}

export interface TestServer {
  readonly server: Server;
  readonly port: number;
  /** What `onError` heard. */
  readonly errors: SeenError[];
}

/** A server on this runtime, running. */
export async function testServer(
  runtime: FakeRuntime,
  options: Partial<ServerInit> = {},
  prepare?: (server: Server) => void,
): Promise<TestServer> {
  const all = { password: PASSWORD, host: "test", port: 8080, scramIterations: FEW_ITERATIONS, ...options };
  const server = new Server(all, runtime);
  const errors: SeenError[] = [];
  server.onError((error, context) => errors.push(seen(error, context)));
  prepare?.(server);
  await server.start();
  return { server, port: server.address.port, errors };
}

/** A server and so many raw clients of it, logged in. */
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

/** A client of the server at port 8080; not connected. */
export function testClient(runtime: FakeRuntime, options: Partial<ClientInit> = {}): TestClient {
  const client = new Client({ host: "test", port: 8080, password: PASSWORD, ...options }, runtime);
  const errors: SeenError[] = [];
  client.onError((error, context) => errors.push(seen(error, context)));
  return { client, errors };
}

function seen(error: Error, context: ErrorContext<unknown>): SeenError {
  const code = error instanceof ConduitError ? error.code : 0;
  return { code, message: error.message, stage: context.stage, name: context.name };
}

/** What a promise came to, without waiting for one that is still open when asked. */
export interface Outcome<T> {
  state: "pending" | "resolved" | "rejected";
  value?: T;
  error?: ConduitError;
  /** How often it settled; more than once would be a bug. */
  settled: number;
}

/** Watches a promise. */
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
