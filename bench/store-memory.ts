/**
 * `node --expose-gc bench/store-memory.ts [sessions] [keys]`: measures the cost of a store per session and per key of
 * `once`: heap of the process, both ends together, compared to the same without a store; and bytes of the file.
 */
import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { Client, type FileStore, fileStore, Server } from "@netconduit/node";
import { formatNumber, formatTable } from "./lib/format.ts";

const [sessions = 2000, keys = 20_000] = process.argv.slice(2).map(Number);
const AT_ONCE = 50;
/** Longer than writing all records takes. */
const SETTLED_MS = 1500;

async function heap(): Promise<number> {
  if (globalThis.gc === undefined) throw new Error("Run it with --expose-gc");
  await sleep(SETTLED_MS);
  for (let n = 0; n < 4; n += 1) globalThis.gc();
  return process.memoryUsage().heapUsed;
}

async function fileBytes(folder: string): Promise<number> {
  const files = await readdir(folder);
  const sizes = await Promise.all(files.map(async (file) => (await stat(join(folder, file))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function eachOf(count: number, task: (n: number) => Promise<unknown>): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < count) {
      next += 1;
      await task(next);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

interface Growth {
  readonly session: number;
  readonly key: number;
  readonly sessionFile: number;
  readonly keyFile: number;
}

async function measure(hasStore: boolean): Promise<Growth> {
  const folder = await mkdtemp(join(tmpdir(), "netconduit-bench-"));
  const store: FileStore | undefined = hasStore ? await fileStore(join(folder, "store.db")) : undefined;
  const password = "secret123";
  const server = new Server({ host: "127.0.0.1", port: 0, password, resume: { store }, maxConnections: sessions + 10 });
  server.rpc("add", ({ a }) => a);
  await server.start();
  const { port } = server.address;
  const connect = async (): Promise<Client> => {
    const client = new Client({ host: "127.0.0.1", port, password, resume: true });
    await client.connect();
    return client;
  };
  const first = await connect();
  await first.call("add", { a: 1 }, { once: "warm" });
  const [heapBefore, fileBefore] = [await heap(), await fileBytes(folder)];
  const clients: Client[] = [];
  await eachOf(sessions, async () => clients.push(await connect()));
  const [heapSessions, fileSessions] = [await heap(), await fileBytes(folder)];
  await eachOf(keys, (n) => first.call("add", { a: n }, { once: `key ${n}` }));
  const [heapKeys, fileKeys] = [await heap(), await fileBytes(folder)];
  for (const client of [first, ...clients]) await client.disconnect();
  await server.stop();
  await store?.close();
  await rm(folder, { recursive: true });
  return {
    session: (heapSessions - heapBefore) / sessions,
    key: (heapKeys - heapSessions) / keys,
    sessionFile: (fileSessions - fileBefore) / sessions,
    keyFile: (fileKeys - fileSessions) / keys,
  };
}

await measure(true);
const without = await measure(false);
const stored = await measure(true);
console.log(
  formatTable(
    ["", "heap, without a store", "with one", "file"],
    [
      [
        "a session, both ends",
        formatNumber(without.session),
        formatNumber(stored.session),
        formatNumber(stored.sessionFile),
      ],
      ["a key of `once`", formatNumber(without.key), formatNumber(stored.key), formatNumber(stored.keyFile)],
    ],
  ),
);
