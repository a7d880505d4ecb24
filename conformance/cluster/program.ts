/** A cluster of two servers on one port, with clients. Prints which worker served each client, and the exit codes. */
import cluster, { type Worker } from "node:cluster";
import { once } from "node:events";
import process from "node:process";
import { Client, Server } from "@netconduit/node";

const CLIENTS = 20;
const WORKERS = 2;
const password = "secret123";
const host = "127.0.0.1";

async function work(): Promise<void> {
  const server = new Server({ host, port: 0, password, handleSignals: false });
  server.rpc("who", () => cluster.worker?.id ?? 0);
  await server.start();
  process.send?.(server.address.port);
  await once(process, "message");
  await server.stop();
  process.disconnect();
}

async function lead(): Promise<void> {
  cluster.schedulingPolicy = process.argv[2] === "none" ? cluster.SCHED_NONE : cluster.SCHED_RR;
  const workers: Worker[] = [];
  let port = 0;
  for (let count = 0; count < WORKERS; count += 1) {
    const worker = cluster.fork();
    workers.push(worker);
    // All workers listen on the first worker's port.
    [port] = (await once(worker, "message")) as [number];
  }
  const served: number[] = [];
  const clients: Client[] = [];
  for (let count = 0; count < CLIENTS; count += 1) {
    const client = new Client({ host, port, password, reconnect: { enabled: false } });
    await client.connect();
    clients.push(client);
    served.push(await client.call<number>("who"));
  }
  await Promise.all(clients.map((client) => client.disconnect()));
  const exits = Promise.all(workers.map(async (worker) => (await once(worker, "exit"))[0] as number));
  for (const worker of workers) worker.send("stop");
  process.stdout.write(JSON.stringify({ served, exits: await exits }));
}

await (cluster.isPrimary ? lead() : work());
