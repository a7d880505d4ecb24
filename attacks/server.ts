/** The server under attack, on any runtime. */
import { truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import process from "node:process";
import type { FolderOptions, ServerOptions } from "@netconduit/core";
import { measureMemory } from "../bench/lib/memory.ts";
import { serveCommands } from "../bench/lib/serve-commands.ts";
import { HOST, loadPackage, PASSWORD, type Place, SERVER_TLS } from "./lib/subject.ts";

/** Differences of an attack's server from the default one. */
export interface ServerSetup {
  readonly options?: Partial<ServerOptions>;
  /** Number of additional methods. Default 0. */
  readonly extraMethods?: number;
  /** Whether to broadcast 64 KiB every 20 ms. */
  readonly broadcasts?: boolean;
  /** Whether clients may subscribe to `room:…` and publish there; 64 KiB are published to `news` every 20 ms. */
  readonly topics?: boolean;
  /** Whether to register methods with streams: `items`, `blocks`, `hold`, `hold_input` and `drain`. */
  readonly streams?: boolean;
  /** Serves a folder with these options and `count` files of a mebibyte each. */
  readonly files?: Partial<FolderOptions> & { readonly count?: number };
  /** Whether to listen with TLS. */
  readonly tls?: boolean;
  /** Whether to listen on a Unix socket. */
  readonly unix?: boolean;
  /** Whether to omit the `onError` hook, so that errors become warnings. */
  readonly withoutErrorHook?: boolean;
}

/** Counters of the server's hooks. */
export interface ServerReport {
  /** Number of `onError` calls by stage and code, and the sum of their counts. */
  readonly errors: Readonly<Record<string, { readonly calls: number; readonly sum: number }>>;
  /** Number of disconnected clients by code. */
  readonly disconnects: Readonly<Record<string, number>>;
  /** Number of rejected logins by code. */
  readonly rejections: Readonly<Record<string, number>>;
  readonly authFailures: number;
  readonly connections: number;
  /** Number of attempts to dial a hostile server from this process, by resulting code. */
  readonly dials: Readonly<Record<string, number>>;
}

/** Number of clients that dial a hostile server in parallel. */
const DIALLERS = 8;

const { Server, Client } = await loadPackage();
const errors: Record<string, { calls: number; sum: number }> = {};
const disconnects: Record<string, number> = {};
const rejections: Record<string, number> = {};
const dials: Record<string, number> = {};
let server: InstanceType<typeof Server> | null = null;

const count = (counts: Record<string, number>, key: string): void => {
  counts[key] = (counts[key] ?? 0) + 1;
};

async function start({ setup, folder }: { setup: ServerSetup; folder: string }): Promise<Place> {
  const tls = setup.tls === true ? { tls: SERVER_TLS } : {};
  const place = setup.unix === true ? { path: join(folder, "server.sock") } : { host: HOST };
  const fresh = new Server({ password: PASSWORD, port: 0, maxConnections: 1000, ...place, ...tls, ...setup.options });
  server = fresh;
  fresh.rpc("echo", (params) => params);
  fresh.rpc("big", () => new Uint8Array(1024 * 1024));
  fresh.rpc("forever", (_params, { signal }) => new Promise((resolve) => signal.addEventListener("abort", resolve)));
  fresh.rpc("fail", (params) => {
    throw new Error(`Cannot handle ${JSON.stringify(params)}`);
  });
  for (let n = 0; n < (setup.extraMethods ?? 0); n += 1) {
    fresh.rpc({ name: `method_${n}`, description: `Does the thing number ${n} to whatever it is given` }, () => n);
  }
  fresh.on("chat", () => undefined);
  if (setup.withoutErrorHook !== true) {
    fresh.onError((error, { stage, count: frames = 1 }) => {
      const key = `${stage} ${(error as { codeName?: string }).codeName ?? error.name}`;
      errors[key] ??= { calls: 0, sum: 0 };
      errors[key].calls += 1;
      errors[key].sum += frames;
    });
  }
  fresh.onClientDisconnect((_client, { codeName }) => count(disconnects, codeName));
  fresh.onClientRejected(({ codeName }) => count(rejections, codeName));
  await fresh.start();
  if (setup.files !== undefined) await serveFiles(fresh, folder, setup.files);
  if (setup.streams === true) serveStreams(fresh);
  if (setup.topics === true) serveTopics(fresh);
  if (setup.broadcasts === true) setInterval(() => fresh.broadcast("news", new Uint8Array(65_536)), 20);
  const { port, path } = fresh.address;
  return path === null ? { port } : { port, path };
}

async function serveFiles(
  fresh: InstanceType<typeof Server>,
  folder: string,
  { count: files = 0, ...options }: NonNullable<ServerSetup["files"]>,
): Promise<void> {
  for (let n = 0; n < files; n += 1) {
    await writeFile(join(folder, `file-${n}`), "");
    await truncate(join(folder, `file-${n}`), 1024 * 1024);
  }
  fresh.files("box", { dir: folder, upload: true, download: true, remove: true, ...options });
}

function serveTopics(fresh: InstanceType<typeof Server>): void {
  fresh.topics("room:*", {
    authorize: async () => true,
    publish: "subscribers",
    presence: true,
    history: { messages: 100 },
  });
  const news = fresh.topic("news", { slow: "drop-oldest", slowBuffer: 100, history: { messages: 100 } });
  setInterval(() => news.publish(new Uint8Array(65_000)), 20);
}

function serveStreams(fresh: InstanceType<typeof Server>): void {
  const aborted = (signal: AbortSignal): Promise<unknown> =>
    new Promise((resolve) => signal.addEventListener("abort", resolve));
  fresh.stream({ name: "items", input: true }, async function* () {
    for (let n = 0; ; n += 1) yield { n, text: "about sixty-four bytes, like a line of a log" };
  });
  fresh.stream("blocks", async function* () {
    for (;;) yield new Uint8Array(65_536);
  });
  // biome-ignore lint/correctness/useYield: it has no items
  fresh.stream("hold", async function* (_params, { signal }) {
    await aborted(signal);
  });
  fresh.rpc({ name: "hold_input", input: true }, (_params, { signal }) => aborted(signal));
  fresh.rpc({ name: "drain", input: true }, async (_params, { input }) => {
    for await (const _item of input);
  });
}

function report(): ServerReport {
  const { authFailures } = server?.stats ?? { authFailures: 0 };
  return { errors, disconnects, rejections, authFailures, connections: server?.connectionCount ?? 0, dials };
}

/** Returns MiB of heap and buffers after a collection. Node.js only. */
async function held(): Promise<number> {
  const { heldBytes } = await measureMemory(undefined);
  return Math.round((heldBytes ?? 0) / 1024 / 1024);
}

/** Connects to a hostile server, makes a call, and disconnects. */
async function dialOnce(port: number): Promise<void> {
  const client = new Client({
    host: HOST,
    port,
    password: PASSWORD,
    connectTimeoutMs: 1000,
    rpcTimeoutMs: 300,
    closeTimeoutMs: 300,
    reconnect: { enabled: false },
  });
  client.rpc("echo", (params) => params);
  client.on("chat", () => undefined);
  client.onError(() => undefined);
  client.onSubscribed(() => undefined);
  try {
    await client.connect();
    await client.call("echo", { text: "honest" });
    count(dials, "answered");
  } catch (error) {
    count(dials, (error as { codeName?: string }).codeName ?? String(error));
  } finally {
    await client.disconnect();
  }
}

function dial(port: number): void {
  const again = async (): Promise<void> => {
    for (;;) await dialOnce(port);
  };
  for (let n = 0; n < DIALLERS; n += 1) void again();
}

process.on("uncaughtException", (error) => {
  process.stderr.write(`uncaught: ${error.stack}\n`);
  process.exit(70);
});
serveCommands({ start, report, held, dial });
