/**
 * Runs with few file descriptors. `serve`: a server that reports its port and stops on request. `dial <port>`:
 * connects clients until one fails, disconnects one and connects another; prints the error and the result of a call.
 */
import { once } from "node:events";
import process from "node:process";
import { Client, type ConduitError, Server } from "@netconduit/node";

const password = "secret123";
const host = "127.0.0.1";

async function serve(): Promise<void> {
  const server = new Server({ host, port: 0, password, handleSignals: false });
  server.rpc("ping", () => "pong");
  await server.start();
  process.send?.(server.address.port);
  await once(process, "message");
  await server.stop();
  process.disconnect();
}

async function dial(port: number): Promise<void> {
  const clients: Client[] = [];
  const next = (): Client => new Client({ host, port, password, reconnect: { enabled: false } });
  let failure: ConduitError | null = null;
  while (failure === null) {
    const client = next();
    try {
      await client.connect();
      clients.push(client);
    } catch (error) {
      failure = error as ConduitError;
    }
  }
  await clients.pop()?.disconnect();
  const again = next();
  await again.connect();
  const answer = await again.call<string>("ping");
  await Promise.all([again, ...clients].map((client) => client.disconnect()));
  const { codeName, message, cause } = failure;
  process.stdout.write(JSON.stringify({ codeName, message, cause: (cause as { code?: string }).code, answer }));
}

const [role, port] = process.argv.slice(2);
await (role === "serve" ? serve() : dial(Number(port)));
