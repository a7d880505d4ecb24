/**
 * `node bench/guarantees.ts [seconds] [text]`: measures the CPU time of calls and messages, both ends together, by
 * delivery guarantee: none, `resume`, a store in a file or in NATS, and `once` and `ack` with a store. Runs several
 * rounds in alternation, only of rows whose title contains the text. Rows with NATS need nats-server and include its
 * CPU time.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { natsCluster } from "@netconduit/nats";
import { Client, type Connection, clusterStore, type FileStoreOptions, fileStore, Server } from "@netconduit/node";
import { NatsProcess } from "../scripts/lib/nats-process.ts";
import { findNatsServer } from "../scripts/lib/nats-server.ts";
import { cpuMsOf } from "./lib/child.ts";
import { formatNumber, formatTable } from "./lib/format.ts";

const [seconds = "1", text = ""] = process.argv.slice(2);
const ROUNDS = 3;
const IN_FLIGHT = 64;

type Send = (client: Client, n: number, connection: Connection) => Promise<unknown>;

interface Row {
  readonly title: string;
  readonly resume: boolean;
  readonly store: FileStoreOptions | "nats" | null;
  readonly send: Send;
}

const call: Send = (client, n) => client.call("echo", { n });
const message: Send = async (client, n) => {
  if (!client.send("n", n)) await client.drained();
};
const once: Send = (client, n) => client.call("echo", { n }, { once: `${process.pid} ${n}` });
const acknowledged: Send = (client, n) => client.send("n", n, { ack: true });
const answered: Send = (_client, n, connection) => connection.send("n", n, { ack: true });
const stored: Send = (_client, n, connection) => connection.send("n", n, { ack: { stored: true } });

const rows: readonly Row[] = [
  { title: "call", resume: false, store: null, send: call },
  { title: "call, resume", resume: true, store: null, send: call },
  { title: "call, store", resume: true, store: {}, send: call },
  { title: "message", resume: false, store: null, send: message },
  { title: "message, resume", resume: true, store: null, send: message },
  { title: "message, store", resume: true, store: {}, send: message },
  { title: "call, once", resume: true, store: null, send: once },
  { title: "call, once, store", resume: true, store: {}, send: once },
  { title: "message, ack, store", resume: true, store: {}, send: acknowledged },
  { title: "message, ack, store, fsync commit", resume: true, store: { fsync: "commit" }, send: acknowledged },
  { title: "message to the client, ack", resume: true, store: {}, send: answered },
  { title: "message to the client, ack.stored, file", resume: true, store: {}, send: stored },
  { title: "message to the client, ack, NATS", resume: true, store: "nats", send: answered },
  { title: "message to the client, ack.stored, NATS", resume: true, store: "nats", send: stored },
];

/** Measures one call or message: microseconds of CPU time and of wall time. */
async function measure({ resume, store: options, send }: Row): Promise<{ cpu: number; wall: number }> {
  const folder = await mkdtemp(join(tmpdir(), "netconduit-bench-"));
  const usesNats = options === "nats";
  const file = options === null || usesNats ? undefined : await fileStore(join(folder, "store.db"), options);
  const nats = usesNats ? await startNats() : null;
  const server = new Server({
    host: "127.0.0.1",
    port: 0,
    password: "secret123",
    resume: resume ? { store: usesNats ? clusterStore() : file } : false,
    ...(nats === null ? {} : { cluster: natsCluster({ servers: nats.url, name: "bench" }) }),
  });
  server.rpc("echo", async (params) => params);
  server.on("n", () => undefined);
  await server.start();
  const client = new Client({ host: "127.0.0.1", port: server.address.port, password: "secret123", resume });
  client.on("n", () => undefined);
  await client.connect();
  const [connection] = server.connections as [Connection];
  let sent = 0;
  let end = performance.now() + 300;
  const worker = async (): Promise<void> => {
    for (; performance.now() < end; sent += 1) await send(client, sent, connection);
  };
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  const before = sent;
  const natsUs = (): number => (nats === null ? 0 : cpuMsOf(nats.pid) * 1000);
  const natsBefore = natsUs();
  const cpuBefore = process.cpuUsage();
  const startedAt = performance.now();
  end = startedAt + Number(seconds) * 1000;
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker));
  await client.call("echo", {});
  const { user, system } = process.cpuUsage(cpuBefore);
  const natsCpu = natsUs() - natsBefore;
  const wall = performance.now() - startedAt;
  const count = sent - before;
  await client.disconnect();
  await server.stop();
  await file?.close();
  await nats?.[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
  return { cpu: (user + system + natsCpu) / count, wall: (wall * 1000) / count };
}

async function startNats(): Promise<NatsProcess> {
  const installation = await findNatsServer();
  if (installation === null) throw new Error("nats-server is not installed");
  return NatsProcess.start(installation);
}

const chosen = rows.filter(({ title }) => title.includes(text));
const best = new Map<Row, { cpu: number; wall: number }>();
for (let round = 0; round < ROUNDS; round += 1) {
  for (const row of chosen) {
    const { cpu, wall } = await measure(row);
    const known = best.get(row) ?? { cpu, wall };
    best.set(row, { cpu: Math.min(cpu, known.cpu), wall: Math.min(wall, known.wall) });
  }
}
console.log(
  formatTable(
    ["", "CPU, us", "per second"],
    chosen.map((row) => {
      const { cpu = 0, wall = 1 } = best.get(row) ?? {};
      return [row.title, formatNumber(cpu), formatNumber(1e6 / wall)];
    }),
  ),
);
