/**
 * A complete server: lifecycle hooks, message handlers, RPC methods with validation.
 *
 *     node examples/complete/server.ts
 *
 * Environment: HOST (0.0.0.0), PORT (8080; 0 picks any free port), PASSWORD (secret123). Set NETCONDUIT=1 to also
 * accept clients of the Python package netconduit; their login sends a password hash that can be replayed.
 */

import { error, response, Server } from "@netconduit/node";
import * as v from "valibot";

const { HOST = "0.0.0.0", PORT = "8080", PASSWORD = "secret123", NETCONDUIT } = process.env;

const server = new Server({
  name: "ExampleServer",
  version: "1.0.0",
  host: HOST,
  port: Number(PORT),
  password: PASSWORD,
  maxConnections: 100,
  allowPasswordHash: NETCONDUIT === "1",
});

/** Seconds since 1970, the unit of the times in this example's messages. */
const now = (): number => Date.now() / 1000;

// Connected clients
const clients = new Map<string, { connectedAt: number }>();
let startedAt = Date.now();

// === Lifecycle ===

server.onStartup((srv) => {
  startedAt = Date.now();
  console.log(`Starting ${srv.config.name} v${srv.config.version}`);
});

server.onListening((srv) => {
  console.log(`Listening on ${srv.address}`);
});

server.onShutdown(() => {
  console.log("Shutting down. Goodbye!");
});

server.onClientConnect((conn) => {
  clients.set(conn.id, { connectedAt: now() });
  console.log(`Client ${conn.id} connected`);
  server.broadcast("user_join", { id: conn.id }, { exclude: conn.id });
});

server.onClientDisconnect((conn, reason) => {
  clients.delete(conn.id);
  console.log(`Client ${conn.id} disconnected: ${reason.message}`);
  server.broadcast("user_leave", { id: conn.id });
});

// === Message handlers ===

server.on("ping", () => ({ pong: true, time: now() }));

const ChatMessage = v.object({ message: v.optional(v.string(), "") });

server.on("chat", ChatMessage, (client, { message }) => {
  server.broadcast("chat", { from: client.id, message, timestamp: now() }, { exclude: client.id });
  return { sent: true };
});

// === RPC methods ===

const CalculateRequest = v.object({ a: v.number(), b: v.number(), operation: v.string() });

const operations = new Map<string, (a: number, b: number) => number | null>([
  ["add", (a, b) => a + b],
  ["subtract", (a, b) => a - b],
  ["multiply", (a, b) => a * b],
  ["divide", (a, b) => (b === 0 ? null : a / b)],
]);

server.rpc(
  { name: "calculate", description: "Perform calculation.", params: CalculateRequest },
  ({ a, b, operation }) => {
    const calculate = operations.get(operation);
    if (calculate === undefined) {
      return error.validation(`Unknown operation: ${operation}`, { field: "operation" });
    }
    const result = calculate(a, b);
    if (result === null) return error("Division by zero", { code: 400 });
    return response({ result });
  },
);

server.rpc({ name: "get_stats", description: "Get server statistics." }, () =>
  response({ clients: clients.size, uptime: (Date.now() - startedAt) / 1000 }),
);

// === Main ===

// Stops gracefully on Ctrl+C and SIGTERM.
await server.run();
