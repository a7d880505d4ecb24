/**
 * Two clients for the complete server: calls, messages with replies, broadcasts, errors.
 *
 *     node examples/complete/client.ts
 *
 * Environment: HOST (127.0.0.1), PORT (8080), PASSWORD (secret123). Set NETCONDUIT=1 to log in to a server of the
 * Python package netconduit.
 */

import { Client, RpcError } from "@netconduit/node";
import * as v from "valibot";

const { HOST = "127.0.0.1", PORT = "8080", PASSWORD = "secret123", NETCONDUIT } = process.env;

const options = {
  host: HOST,
  port: Number(PORT),
  password: PASSWORD,
  allowPasswordHash: NETCONDUIT === "1",
  reconnect: { enabled: false },
};
const ada = new Client({ ...options, name: "Ada" });
const grace = new Client({ ...options, name: "Grace" });

const User = v.object({ id: v.string() });
const Chat = v.object({ from: v.string(), message: v.string(), timestamp: v.number() });
const Result = v.object({ result: v.number() });
const Stats = v.object({ clients: v.number(), uptime: v.number() });
const FieldErrors = v.object({ errors: v.array(v.object({ field: v.string(), message: v.string() })) });

try {
  await ada.connect();
  console.log(`Ada is connected to ${ada.serverInfo?.name} ${ada.serverInfo?.version}`);

  // A broadcast informs Ada that Grace has joined.
  const joined = new Promise<v.InferOutput<typeof User>>((resolve) => ada.on("user_join", User, resolve));
  await grace.connect();
  console.log(`Ada learns that ${(await joined).id} joined`);

  // Messages with replies.
  console.log("Ada sends ping, the reply is", await ada.request("ping"));

  const received = new Promise<v.InferOutput<typeof Chat>>((resolve) => ada.on("chat", Chat, resolve));
  console.log("Grace sends chat, the reply is", await grace.request("chat", { message: "Hello, Ada!" }));
  const { from, message } = await received;
  console.log(`Ada receives from ${from}: ${message}`);

  // RPC: the schema validates and types the result.
  const product = await ada.call("calculate", { a: 6, b: 7, operation: "multiply" }, { result: Result });
  console.log(`Ada calls calculate: 6 * 7 = ${product.result}`);

  const stats = await grace.call("get_stats", {}, { result: Stats });
  console.log(`Grace calls get_stats: ${stats.clients} clients, up for ${stats.uptime.toFixed(1)} s`);

  // Errors arrive with a code, a message and details.
  await explain("two + nothing", { a: "two", operation: "add" });
  await explain("an unknown operation", { a: 1, b: 2, operation: "modulo" });
  await explain("1 / 0", { a: 1, b: 0, operation: "divide" });
} finally {
  await Promise.all([ada.disconnect(), grace.disconnect()]);
}
console.log("Ada and Grace are disconnected");

/** Calls `calculate` with parameters that it rejects, and prints the error. */
async function explain(what: string, params: Record<string, unknown>): Promise<void> {
  try {
    console.log(`calculate ${what}:`, await ada.call("calculate", params));
  } catch (error) {
    if (!(error instanceof RpcError)) throw error;
    console.log(`calculate ${what}: error ${error.code}, ${error.message}`);
    const fields = v.safeParse(FieldErrors, error.details);
    for (const field of fields.success ? fields.output.errors : []) console.log(`  ${field.field}: ${field.message}`);
  }
}
