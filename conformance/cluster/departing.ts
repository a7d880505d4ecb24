/**
 * Disconnects a cluster worker while it serves a client. Prints what the client and the primary receive afterwards,
 * and the worker's exit code.
 */
import cluster from "node:cluster";
import { once } from "node:events";
import process from "node:process";
import { Client, Server } from "@netconduit/node";

const password = "secret123";
const host = "127.0.0.1";

async function work(): Promise<void> {
  const server = new Server({ host, port: 0, password, handleSignals: false });
  server.rpc("slow", async () => {
    process.send?.("running");
    await once(process, "message");
    process.send?.("from the running handler");
    return "served";
  });
  server.rpc("quick", () => "served");
  await server.start();
  process.send?.(server.address.port);
}

async function lead(): Promise<void> {
  const worker = cluster.fork();
  const exit = once(worker, "exit");
  const [port] = (await once(worker, "message")) as [number];
  const client = new Client({ host, port, password, reconnect: { enabled: false } });
  await client.connect();
  const slow = client.call<string>("slow");
  await once(worker, "message");
  worker.disconnect();
  const told = once(worker, "message");
  worker.send("finish");
  const replies = [await slow, await client.call<string>("quick")];
  const [message] = await told;
  await client.disconnect();
  const [code] = await exit;
  process.stdout.write(JSON.stringify({ replies, message, code }));
}

await (cluster.isPrimary ? lead() : work());
