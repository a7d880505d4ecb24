/**
 * Prints a report of all agents from the monitoring server.
 *
 *     node examples/monitoring/dashboard.ts
 *
 * Environment: HOST (127.0.0.1), PORT (8080) or SOCKET (path of a Unix socket), PASSWORD (secret123), TLS_CA (PEM file
 * with the CA of the server's certificate; without it, plain TCP).
 */

import { Client, ConduitError } from "@netconduit/node";
import { Report } from "./samples.ts";

const { HOST = "127.0.0.1", PORT = "8080", SOCKET, PASSWORD = "secret123", TLS_CA } = process.env;

const client = new Client({
  name: "dashboard",
  host: HOST,
  port: Number(PORT),
  path: SOCKET,
  password: PASSWORD,
  tls: TLS_CA === undefined ? undefined : { ca: TLS_CA },
});

try {
  await client.connect();
  const agents = await client.call("report", {}, { result: Report });
  for (const { agent, address, connectedAt, latencyMs, sample } of agents) {
    const memory = sample === null ? "no sample yet" : `${sample.memoryMiB} MiB`;
    const latency = latencyMs === null ? "no heartbeat yet" : `${latencyMs.toFixed(2)} ms`;
    console.log(`${agent} (${address}, since ${connectedAt.toISOString()}): ${memory}, ${latency}`);
  }
  const { state, serverInfo, pendingCalls } = client.health();
  console.log(
    `${agents.length} agents on ${serverInfo?.name}; this dashboard is ${state}, ${pendingCalls} calls pending`,
  );
} catch (error) {
  if (!(error instanceof ConduitError)) throw error;
  console.error(`${error.codeName}: ${error.message}`);
  process.exitCode = 1;
} finally {
  await client.disconnect();
}
