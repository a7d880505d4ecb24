/**
 * Streams beside what they are measured against: `node bench/streams.ts [seconds]`. Each server is a process of its own.
 * Small items of 64 bytes against messages of `ws` with JSON and a server stream of grpc-js, binary items of 64 KiB against
 * a bare socket, the memory of a stalled stream, and the latency of small calls beside bulk streams.
 */
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { join } from "node:path";
import process from "node:process";
import * as grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { Client, Server } from "@netconduit/node";
import { WebSocket, WebSocketServer } from "ws";

const SECONDS = Number(process.argv[2] ?? 3);
const ROUNDS = 3;
const PASSWORD = "secret123";
const PROTO = join(import.meta.dirname, "peers/support/bench.proto");
const TEXT = "x".repeat(48);
const BLOCK = new Uint8Array(65_536);
const KIND = process.argv[3];

/** About 64 bytes, encoded. */
const itemOf = (n: number): { n: number; text: string } => ({ n, text: TEXT });

// biome-ignore lint/suspicious/noExplicitAny: grpc-js types what it loads so
const bench = (): any => (grpc.loadPackageDefinition(loadSync(PROTO)) as any).bench;

const servers: Readonly<Record<string, () => Promise<number>>> = {
  async netconduit() {
    const server = new Server({ password: PASSWORD, host: "127.0.0.1", port: 0 });
    server.stream("items", async function* () {
      for (let n = 0; ; n += 1) yield itemOf(n);
    });
    server.stream("blocks", async function* () {
      for (;;) yield BLOCK;
    });
    server.rpc({ name: "upload", input: true }, async (_params, { input }) => {
      for await (const _block of input);
    });
    server.rpc("add", ({ a, b }) => (a as number) + (b as number));
    server.stream("fresh", async function* () {
      for (;;) yield new Uint8Array(BLOCK);
    });
    server.rpc("memory", () => {
      globalThis.gc?.();
      const { heapUsed, external } = process.memoryUsage();
      return heapUsed + external;
    });
    await server.start();
    return server.address.port;
  },
  async ws() {
    const server = new WebSocketServer({ host: "127.0.0.1", port: 0, perMessageDeflate: false });
    server.on("connection", (socket) => {
      let n = 0;
      const more = (): void => {
        if (socket.bufferedAmount < 1024 * 1024) {
          for (let i = 0; i < 500; i += 1) socket.send(JSON.stringify(itemOf(n++)));
        }
        if (socket.readyState === WebSocket.OPEN) setImmediate(more);
      };
      more();
    });
    await once(server, "listening");
    return (server.address() as AddressInfo).port;
  },
  async grpc() {
    const server = new grpc.Server();
    server.addService(bench().Bench.service, {
      Listen(call: grpc.ServerWritableStream<unknown, unknown>) {
        let n = 0;
        const more = (): void => {
          while (!call.cancelled && call.write(itemOf(n++)));
          if (!call.cancelled) call.once("drain", more);
        };
        more();
      },
    });
    const credentials = grpc.ServerCredentials.createInsecure();
    return new Promise((resolve, reject) =>
      server.bindAsync("127.0.0.1:0", credentials, (error, port) => (error === null ? resolve(port) : reject(error))),
    );
  },
  async raw() {
    const server = createServer((socket) => {
      const more = (): void => {
        if (socket.writable) socket.write(BLOCK, more);
      };
      socket.on("error", () => socket.destroy());
      for (let n = 0; n < 4; n += 1) more();
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    return (server.address() as AddressInfo).port;
  },
};

/** Counts per second of what `count` counts, after a tenth of the time. */
async function rate(start: (count: (by: number) => void) => Promise<() => unknown>): Promise<number> {
  let total = 0;
  const stop = await start((by) => {
    total += by;
  });
  await sleep(SECONDS * 100);
  const [before, at] = [total, performance.now()];
  await sleep(SECONDS * 1000);
  const perSecond = ((total - before) * 1000) / (performance.now() - at);
  await stop();
  return perSecond;
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function logIn(port: number): Promise<Client> {
  const client = new Client({ host: "127.0.0.1", port, password: PASSWORD, reconnect: { enabled: false } });
  await client.connect();
  return client;
}

function streamRate(port: number, name: string, size: (item: unknown) => number): Promise<number> {
  return rate(async (count) => {
    const client = await logIn(port);
    const read = async (): Promise<void> => {
      for await (const item of client.stream(name)) count(size(item));
    };
    void read().catch(() => undefined);
    return () => client.disconnect();
  });
}

const clients = {
  items: (port: number) => streamRate(port, "items", () => 1),
  blocks: (port: number) => streamRate(port, "blocks", (block) => (block as Uint8Array).length),
  ws: (port: number) =>
    rate(async (count) => {
      const socket = new WebSocket(`ws://127.0.0.1:${port}`, { perMessageDeflate: false });
      socket.on("message", (data) => {
        JSON.parse(String(data));
        count(1);
      });
      return () => socket.terminate();
    }),
  grpc: (port: number) =>
    rate(async (count) => {
      const client = new (bench().Bench)(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
      const call = client.Listen({});
      call.on("data", () => count(1));
      call.on("error", () => undefined);
      return () => {
        call.cancel();
        client.close();
      };
    }),
  raw: (port: number) =>
    rate(async (count) => {
      const socket = connect(port, "127.0.0.1");
      socket.on("data", (chunk) => count(chunk.length));
      return () => socket.destroy();
    }),
};

/** The 99th percentile of small calls in milliseconds, one after the other. */
async function callsP99(client: Client): Promise<number> {
  const times: number[] = [];
  const end = performance.now() + SECONDS * 1000;
  while (performance.now() < end) {
    const at = performance.now();
    await client.call("add", { a: 1, b: 2 });
    times.push(performance.now() - at);
  }
  times.sort((a, b) => a - b);
  return times[Math.floor(times.length * 0.99)] as number;
}

async function besideBulk(port: number): Promise<[alone: number, beside: number]> {
  const client = await logIn(port);
  await callsP99(client);
  const alone = await callsP99(client);
  const download = async (): Promise<void> => {
    for await (const _block of client.stream("blocks"));
  };
  const blocks = async function* (): AsyncGenerator<Uint8Array> {
    for (;;) yield BLOCK;
  };
  void download().catch(() => undefined);
  void client.call("upload", {}, { input: blocks() }).catch(() => undefined);
  const beside = await callsP99(client);
  await client.disconnect();
  return [alone, beside];
}

/** Bytes of heap and buffers, after a collection, that a server has for each stalled stream, of many. */
async function stalledBytes(port: number, count: number): Promise<number> {
  const client = await logIn(port);
  const open = async (many: number): Promise<void> => {
    const streams = Array.from({ length: many }, () => client.stream("fresh"));
    for (const stream of streams) await stream.next();
    await sleep(500);
  };
  await open(10);
  const before = await client.call<number>("memory");
  await open(count);
  const after = await client.call<number>("memory");
  await client.disconnect();
  return (after - before) / count;
}

async function startServer(kind: string): Promise<{ readonly port: number; readonly child: ChildProcess }> {
  const child = fork(import.meta.filename, [String(SECONDS), kind], { execArgv: ["--expose-gc"] });
  const [port] = (await once(child, "message")) as [number];
  return { port, child };
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] as number;

async function main(): Promise<void> {
  const running = new Map<string, { readonly port: number; readonly child: ChildProcess }>();
  for (const kind of Object.keys(servers)) running.set(kind, await startServer(kind));
  const port = (kind: string): number => running.get(kind)?.port as number;
  const rates: Record<string, number[]> = { items: [], ws: [], grpc: [], blocks: [], raw: [] };
  for (let round = 0; round < ROUNDS; round += 1) {
    rates["items"]?.push(await clients.items(port("netconduit")));
    rates["ws"]?.push(await clients.ws(port("ws")));
    rates["grpc"]?.push(await clients.grpc(port("grpc")));
    rates["blocks"]?.push(await clients.blocks(port("netconduit")));
    rates["raw"]?.push(await clients.raw(port("raw")));
  }
  const [items = 0, ws = 0, grpcItems = 0, blocks = 0, raw = 0] = Object.values(rates).map(median);
  const [alone, beside] = await besideBulk(port("netconduit"));
  console.log(
    `64 B items             ${Math.round(items)}/s, ${(items / ws).toFixed(2)} × ws with JSON (${Math.round(ws)}/s), goal 3`,
  );
  console.log(
    `                       ${(items / grpcItems).toFixed(1)} × grpc-js (${Math.round(grpcItems)}/s), goal 20`,
  );
  console.log(
    `64 KiB binary items    ${(blocks / 1e6).toFixed(0)} MB/s, ${(blocks / raw).toFixed(2)} × a bare socket (${(raw / 1e6).toFixed(0)} MB/s), goal 0.85`,
  );
  console.log(
    `small calls, p99       ${alone.toFixed(3)} ms alone, ${beside.toFixed(3)} ms beside bulk streams both ways: ${(beside / alone).toFixed(1)} ×, goal 5`,
  );
  console.log(
    `a stalled stream       ${Math.round(await stalledBytes(port("netconduit"), 200))} bytes of heap and buffers at its producer`,
  );
  for (const { child } of running.values()) child.kill();
}

if (KIND === undefined) await main();
else process.send?.(await servers[KIND]?.());
