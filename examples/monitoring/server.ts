/**
 * A monitoring server: agents connect to it, and it collects samples from all of them by parallel calls with a
 * deadline.
 *
 *     node examples/monitoring/server.ts
 *
 * Environment: HOST (0.0.0.0), PORT (8080; 0 picks any free port) or SOCKET (path of a Unix socket), PASSWORD
 * (secret123), INTERVAL_MS (5000), TLS_CERT and TLS_KEY (PEM files; without them, plain TCP).
 */

import { Server } from "@netconduit/node";
import { addAgents, collect, type Watched } from "./agents.ts";

const { HOST = "0.0.0.0", PORT = "8080", SOCKET, PASSWORD = "secret123" } = process.env;
const { INTERVAL_MS = "5000", TLS_CERT, TLS_KEY } = process.env;

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

addAgents(server);

server.onError((error, { stage, remoteAddress }) => {
  console.log(`Error (${stage}${remoteAddress === undefined ? "" : `, ${remoteAddress}`}): ${error.message}`);
});

const collecting = setInterval(() => void collect(server), Number(INTERVAL_MS));
server.onShutdown(() => clearInterval(collecting));

server.onListening((srv) => {
  console.log(`Listening on ${srv.address}`);
});

// Stops gracefully on Ctrl+C and SIGTERM.
await server.run();
