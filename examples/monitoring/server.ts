/**
 * A monitoring server: agents connect to it, and it calls all of them for samples in parallel, with a deadline.
 *
 *     node examples/monitoring/server.ts
 *
 * Environment: HOST (0.0.0.0), PORT (8080; 0 picks any free port) or SOCKET (path of a Unix socket), PASSWORD
 * (secret123), INTERVAL_MS (5000), TLS_CERT and TLS_KEY (PEM files; without them, plain TCP).
 */

import { ConduitError, Server } from "@netconduit/node";
import * as v from "valibot";
import { Sample } from "./samples.ts";

const { HOST = "0.0.0.0", PORT = "8080", SOCKET, PASSWORD = "secret123" } = process.env;
const { INTERVAL_MS = "5000", TLS_CERT, TLS_KEY } = process.env;

interface Watched {
  /** Name of the agent; null for a dashboard. */
  agent: string | null;
  sample: Sample | null;
}

const server = new Server({
  name: "Monitoring",
  host: HOST,
  port: Number(PORT),
  path: SOCKET,
  password: PASSWORD,
  tls: TLS_CERT && TLS_KEY ? { cert: TLS_CERT, key: TLS_KEY } : undefined,
  connectionData: (): Watched => ({ agent: null, sample: null }),
  heartbeatIntervalMs: 1000,
  heartbeatTimeoutMs: 10_000,
});

server.rpc("register", v.object({ agent: v.string() }), ({ agent }, { client }) => {
  client.data.agent = agent;
  console.log(`${agent} registered from ${client.remoteAddress}${client.tls === null ? "" : " over TLS"}`);
});

server.rpc("report", () =>
  server.connections.flatMap(({ data: { agent, sample }, remoteAddress, session, latencyMs }) =>
    agent === null
      ? []
      : [{ agent, address: remoteAddress, connectedAt: new Date(session.createdAt), latencyMs, sample }],
  ),
);

server.onClientDisconnect(({ data: { agent } }, reason) => {
  if (agent !== null) console.log(`${agent} disconnected: ${reason.message}`);
});

server.onError((error, { stage, remoteAddress }) => {
  console.log(`Error (${stage}${remoteAddress === undefined ? "" : `, ${remoteAddress}`}): ${error.message}`);
});

async function collect(): Promise<void> {
  await Promise.all(
    server.connections.map(async (connection) => {
      const { data, latencyMs } = connection;
      if (data.agent === null) return;
      try {
        data.sample = await connection.call("collect", {}, { result: Sample, timeoutMs: 1000 });
        const latency = latencyMs === null ? "" : `, latency ${latencyMs.toFixed(2)} ms`;
        console.log(`${data.agent}: ${data.sample.memoryMiB} MiB, up ${data.sample.uptimeSeconds} s${latency}`);
      } catch (error) {
        if (!(error instanceof ConduitError)) throw error;
        console.log(`${data.agent}: no sample (${error.codeName}: ${error.message})`);
      }
    }),
  );
}

const collecting = setInterval(() => void collect(), Number(INTERVAL_MS));
server.onShutdown(() => clearInterval(collecting));

server.onListening((srv) => {
  console.log(`Listening on ${srv.address}`);
});

// Stops gracefully on Ctrl+C and SIGTERM.
await server.run();
