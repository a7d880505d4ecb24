/**
 * A client of the chat that runs on several nodes. It connects to a load balancer, which chooses the node.
 *
 *     node examples/many-nodes/client.ts ada kitchen
 *
 * Input: `say TEXT`, or `order KEY ITEM`. An order is executed once per key, whichever node receives it.
 *
 * Environment: HOST (127.0.0.1), PORT (8080), PASSWORD (secret123).
 */

import { createInterface } from "node:readline";
import { Client, type Subscription } from "@netconduit/node";
import * as v from "valibot";

const { HOST = "127.0.0.1", PORT = "8080", PASSWORD = "secret123" } = process.env;
const [, , username = "ada", room = "kitchen"] = process.argv;

const Line = v.object({ from: v.string(), text: v.string() });
type Line = v.InferOutput<typeof Line>;

const client = new Client({
  host: HOST,
  port: Number(PORT),
  username,
  password: PASSWORD,
  resume: true,
  reconnect: { delayMs: 100, maxDelayMs: 500 },
});
client.onConnect(({ serverInfo }) => console.log(`at ${serverInfo?.name}`));
// Reconnecting may fail until the load balancer reaches a running node.
client.onReconnectAttemptFailed(() => undefined);
client.onError((error) => console.log(`! ${error.message}`));
await client.connect();

const lines = client.subscribe<Line>(`room:${room}`);
lines.onResume(({ recovered }) => console.log(`subscribed again: recovered ${recovered}`));
await lines.ready;
showPresence(lines);

async function command(input: string): Promise<void> {
  const [word, ...rest] = input.split(" ");
  if (word === "say") await client.publish(`room:${room}`, { from: username, text: rest.join(" ") });
  else if (word === "order") await order(rest[0] ?? "", rest.slice(1).join(" "));
  else console.log("! say TEXT, or order KEY ITEM");
}

async function order(key: string, item: string): Promise<void> {
  console.log(`answer to ${key}: ${await client.call("order", { item }, { once: key, result: v.string() })}`);
}

function showPresence({ presence }: Subscription<Line>): void {
  presence?.onChange(() => console.log(`here: ${presence.users.sort().join(", ")}`));
}

const input = createInterface({ input: process.stdin });
input.on("line", (line) => command(line).catch((error: Error) => console.log(`! ${error.message}`)));
input.on("close", () => client.close());

for await (const { from, text } of lines) console.log(`${from}: ${text}`);
