/** In-memory servers and clients; an input contains the steps of their peer. */
import { setImmediate as turn } from "node:timers/promises";
import { Client } from "../../packages/core/src/client/client.ts";
import { ConduitError } from "../../packages/core/src/errors.ts";
import { Server } from "../../packages/core/src/server/server.ts";
import { FakeRuntime } from "../../packages/core/src/test-support/fake-runtime.ts";
import {
  type MemoryPeer,
  PASSWORD,
  RawServer,
  rawClient,
  rawDial,
} from "../../packages/core/src/test-support/raw-memory.ts";
import { must } from "../lib/target.ts";
import { type Step, stepsOf } from "./steps.ts";

/** Maximum turns of the event loop per input; thousands are normal. */
const MAX_TURNS = 200_000;
/** Longer than the sum of all timeouts. */
const END_MS = 400_000;

/** All extensions with small grants. */
export const EXTENSIONS = {
  reply: true,
  limits: { message_bytes: 100_000 },
  credit: { frames: 20, bytes: 100_000 },
  chunk: { messages: 3, bytes: 200_000 },
  stream: { streams: 5, overdraft: 10_000 },
  close: true,
  cancel: true,
  deadline: true,
  meta: true,
  refusal: true,
  ready: true,
  drain: true,
  call: true,
  compression: true,
  topic: true,
};

const LIMITS = {
  maxMessageBytes: 100_000,
  receiveQueueSize: 20,
  receiveQueueBytes: 200_000,
  sendQueueSize: 20,
  sendQueueBytes: 200_000,
  handlerConcurrency: 3,
  closeTimeoutMs: 1000,
};

/** The client's second connect is never answered. */
const RECONNECT = { attempts: 1, delayMs: 10, jitter: false };
const RATES = { messagesPerSecond: 100 };

/** A runtime with fixed random bytes, so that inputs are reproducible. Stops inputs that don't end. */
export class FuzzRuntime extends FakeRuntime {
  #count = 0;
  #turns = 0;

  constructor(maxChunkBytes: number) {
    super({ maxChunkBytes });
    this.crypto.randomBytes = (length) => Uint8Array.from({ length }, () => this.#nextByte());
  }

  #nextByte(): number {
    this.#count = (this.#count * 5 + 17) % 251;
    return this.#count;
  }

  get isRunaway(): boolean {
    return this.#turns > MAX_TURNS;
  }

  protected override later(task: () => void): void {
    this.#turns += 1;
    if (!this.isRunaway) super.later(task);
  }
}

/** Runs an input's steps as `peer`, along with the application's actions. */
export async function runSteps(
  runtime: FuzzRuntime,
  peer: MemoryPeer,
  input: Uint8Array,
  act: (action: number) => void,
): Promise<void> {
  for (const step of stepsOf(input)) await runStep(runtime, peer, step, act);
  peer.resume();
  await runtime.advance(END_MS);
  must(!runtime.isRunaway, `an input caused more than ${MAX_TURNS} turns`);
}

async function runStep(
  runtime: FuzzRuntime,
  peer: MemoryPeer,
  step: Step,
  act: (action: number) => void,
): Promise<void> {
  switch (step.do) {
    case "write":
      peer.write(step.bytes);
      return;
    case "settle":
      await runtime.settle();
      return;
    case "advance":
      await runtime.advance(step.ms);
      return;
    case "act":
      if (step.action === 0) peer.end();
      else if (step.action === 1) peer.reset();
      else if (step.action === 2) peer.pause();
      else if (step.action === 3) peer.resume();
      else actAs(act, step.action - 4);
  }
}

/** Runs an action of the application, which may throw errors with a code, such as for a full send queue. */
function actAs(act: (action: number) => void, action: number): void {
  try {
    act(action);
  } catch (error) {
    checkCode(error);
  }
}

interface Handlers {
  /** Ends the oldest waiting handler. */
  finish(): void;
}

type Registrar = Pick<Server, "rpc" | "on" | "stream" | "onError">;

/** Registers methods, messages and streams of every kind. */
function register(endpoint: Registrar): Handlers {
  const waiting: (() => void)[] = [];
  const wait = (): Promise<string> => new Promise((resolve) => waiting.push(() => resolve("done")));
  endpoint.onError(() => undefined);
  endpoint.rpc("echo", (params) => params);
  endpoint.rpc("wait", wait);
  endpoint.rpc("fail", () => {
    throw new TypeError("planted");
  });
  endpoint.on("note", () => undefined);
  endpoint.on("wait", wait);
  endpoint.stream("count", async function* (params) {
    const { n } = params as { n?: unknown };
    for (let item = 0; item < Math.min(Number(n) || 3, 100); item += 1) yield { item, pad: "x".repeat(item * 10) };
  });
  endpoint.stream({ name: "sum", input: true }, async function* (_params, { input, progress }) {
    for await (const item of input) {
      progress(item);
      yield item;
    }
  });
  return { finish: () => waiting.shift()?.() };
}

export interface ServerScene {
  readonly runtime: FuzzRuntime;
  readonly server: Server;
  act(action: number): void;
  /** Checks that the server still serves others, and stops it. */
  end(): Promise<void>;
}

/** Creates a server with all features enabled. */
export async function serverScene(maxChunkBytes: number): Promise<ServerScene> {
  const runtime = new FuzzRuntime(maxChunkBytes);
  const options = {
    password: PASSWORD,
    host: "test",
    port: 8080,
    scramIterations: 4096,
    enableCompression: true,
    rateLimit: RATES,
  };
  const server = new Server({ ...options, ...LIMITS }, runtime);
  const { finish } = register(server as unknown as Registrar);
  const news = server.topic("news", { history: { messages: 5 }, presence: true });
  await server.start();
  const act = (action: number): void => {
    const [connection] = server.connections;
    const ignored = (promise: Promise<unknown> | undefined): void => void promise?.catch(checkCode);
    if (action === 0) finish();
    else if (action === 1) server.broadcast("note", "x".repeat(50));
    else if (action === 2) connection?.send("note", new Uint8Array(70_000));
    else if (action === 3) ignored(connection?.call("echo", { n: 1 }, { timeoutMs: 5000 }));
    else if (action === 4) ignored(connection?.close("bye"));
    else if (action === 5) news.publish({ n: 1 });
    else if (action === 6) ignored(connection?.request("note", 1));
    else if (action === 7 && connection !== undefined) ignored(consume(connection.stream("count", {})));
  };
  const end = async (): Promise<void> => {
    for (let left = 100; left > 0; left -= 1) finish();
    await runtime.settle();
    must(server.connectionCount === 0, `${server.connectionCount} connections are left of a peer that is silent`);
    const honest = await rawClient(runtime, 8080, { extensions: { ...EXTENSIONS } });
    honest.call("echo", { n: 5 }, 9);
    must((await honest.next(0x0003)).id === 9n, "another client is not answered");
    honest.reset();
    const stopping = server.stop({ drainMs: 1000 });
    await runtime.advance(10_000);
    await stopping;
    await check(runtime);
  };
  return { runtime, server, act, end };
}

/** Checks that an error or rejection has a code. */
function checkCode(error: unknown): void {
  if (!(error instanceof ConduitError)) throw error;
}

async function consume(items: AsyncIterable<unknown>): Promise<void> {
  for await (const _item of items);
}

async function check(runtime: FuzzRuntime): Promise<void> {
  must(!runtime.isRunaway, `an input caused more than ${MAX_TURNS} turns`);
  must(runtime.timers.keepingAlive === 0, `${runtime.timers.keepingAlive} timers are left`);
  if (runtime.warnings.length > 0) throw runtime.warnings[0];
  await turn();
}

/** A client connected to a raw server. */
export interface ClientScene {
  readonly runtime: FuzzRuntime;
  readonly raw: RawServer;
  readonly client: Client;
  readonly connecting: Promise<unknown>;
  act(action: number): void;
  /** Checks that the client has settled everything, and disconnects it. */
  end(): Promise<void>;
}

export async function clientScene(maxChunkBytes: number): Promise<ClientScene> {
  const runtime = new FuzzRuntime(maxChunkBytes);
  const raw = await RawServer.start(runtime);
  const options = {
    host: "test",
    port: 8080,
    password: PASSWORD,
    reconnect: RECONNECT,
    enableCompression: true,
  } as const;
  const client = new Client({ ...options, ...LIMITS }, runtime);
  const { finish } = register(client as unknown as Registrar);
  let open = 0;
  const settled = (promise: Promise<unknown>): Promise<unknown> => {
    open += 1;
    return promise.catch(checkCode).finally(() => {
      open -= 1;
    });
  };
  const connecting = settled(client.connect());
  const act = (action: number): void => {
    if (!client.isConnected) return;
    if (action === 0) finish();
    else if (action === 1) void settled(client.call("echo", { n: 1 }, { timeoutMs: 5000 }));
    else if (action === 2) void settled(client.call("echo", { bytes: new Uint8Array(70_000) }));
    else if (action === 3) void settled(client.request("note", 1));
    else if (action === 4) void settled(client.disconnect());
    else if (action === 5) void settled(consume(client.stream("count", {})));
    else if (action === 6) void settled(consume(client.subscribe("news")));
    else if (action === 7) client.send("note", { n: 1 });
  };
  const end = async (): Promise<void> => {
    for (let left = 100; left > 0; left -= 1) finish();
    void settled(client.close());
    await runtime.advance(END_MS);
    must(open === 0, `${open} promises never settle`);
    must(!client.isConnected, "the client is still connected");
    await check(runtime);
  };
  return { runtime, raw, client, connecting, act, end };
}

/** Returns the chunk size of received data, selected by the input's first byte. */
export function chunkBytesOf(first: number): number {
  return [65_536, 1000, 33, 7][first & 3] as number;
}

export { PASSWORD, rawClient, rawDial };
