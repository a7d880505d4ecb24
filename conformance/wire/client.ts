/** `node … client.ts PORT`: the client program that README.md describes, with this library. */
import process from "node:process";
import { Client, ConduitError } from "@netconduit/node";
import { addTopicMethods } from "./client-topics.ts";

const token = process.env["NETCONDUIT_TOKEN"];
const client = new Client({
  host: "127.0.0.1",
  port: Number(process.argv[2]),
  ...(token === undefined
    ? { password: process.env["NETCONDUIT_PASSWORD"] ?? "" }
    : { credentials: () => ({ token }) }),
  ...(process.env["NETCONDUIT_RESUME"] === "1"
    ? { resume: true, reconnect: { delayMs: 1, maxDelayMs: 1 } }
    : { reconnect: { enabled: false } }),
});
client.rpc("echo", (params) => params);
addTopicMethods(client);
try {
  await client.connect();
  client.send("result", await client.call("echo", { text: "hello" }));
} catch (error) {
  if (client.isConnected && error instanceof ConduitError) client.send("error", { code: error.code });
}
