/**
 * A monitoring agent: answers the server's `collect` calls and reconnects whenever the connection is lost.
 *
 *     node examples/monitoring/agent.ts web-1
 *
 * Environment: HOST (127.0.0.1), PORT (8080) or SOCKET (path of a Unix socket), PASSWORD (secret123), TLS_CA (PEM file
 * with the CA of the server's certificate; without it, plain TCP).
 */

import { Client } from "@netconduit/node";
import type { Sample } from "./samples.ts";

const { HOST = "127.0.0.1", PORT = "8080", SOCKET, PASSWORD = "secret123", TLS_CA } = process.env;
const [, , agent = "agent"] = process.argv;

const client = new Client({
  name: agent,
  host: HOST,
  port: Number(PORT),
  path: SOCKET,
  password: PASSWORD,
  tls: TLS_CA === undefined ? undefined : { ca: TLS_CA },
  // Retries without limit, at first after up to 200 ms, later after up to 5 s.
  reconnect: { attempts: 0, delayMs: 200, maxDelayMs: 5000 },
});

client.rpc(
  "collect",
  (): Sample => ({
    memoryMiB: Math.round(process.memoryUsage().rss / 2 ** 20),
    uptimeSeconds: Math.round(process.uptime()),
  }),
);

// Register after every login, because the server keeps no state from an earlier connection.
client.onConnect(() => client.call("register", { agent }));
client.onDisconnect((_client, reason) => console.log(`Disconnected: ${reason.message}`));
client.onReconnect(() => console.log("Reconnected"));
client.onError((error, { stage }) => console.log(`Error (${stage}): ${error.message}`));

for (const signal of ["SIGINT", "SIGTERM"]) {
  process.once(signal, () => void client.disconnect("Agent stopped"));
}

await client.connect();
console.log(`${agent} is connected to ${client.serverInfo?.name}`);
